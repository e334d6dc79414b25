"""The thread that owns the model, with a model of which every step can be held."""

import errno
import os
import threading

import numpy as np
import pytest
from web.conftest import picture, wait

from samjax.inference import AutomaticConfig, ImageEmbedding
from samjax.inference.automatic.incremental import Step
from samjax.web import jobs as jobs_module
from samjax.web import worker as worker_module
from samjax.web.disk_cache import DiskCache
from samjax.web.embedding_cache import EmbeddingCache
from samjax.web.folder import Gallery, image_id
from samjax.web.refusals import Refusal
from samjax.web.worker import ModelWorker

QUICK = AutomaticConfig(
    points_per_side=8,
    points_per_batch=8,
    pred_iou_thresh=0,
    stability_score_thresh=0,
)


class Parts:
    """A worker, and what it reads: images wait until they are let through."""

    def __init__(self, folder, cache, predictor):
        self.gallery = Gallery(folder, 1_000_000)
        self.cache = EmbeddingCache(
            DiskCache(cache, 1 << 30), predictor.fingerprint, cache / "seconds.json"
        )
        self.held = threading.Event()
        self.held.set()
        self.read: list[str] = []
        self.problem: Exception | None = None
        self.worker = ModelWorker(predictor, self.cache, self._pixels)

    def _pixels(self, image):
        self.read.append(image.name)
        assert self.held.wait(60)
        if self.problem is not None:
            raise self.problem
        return np.full((24, 32, 3), 50, np.uint8)

    def image(self, name):
        return self.gallery.file(image_id(f"{name}.png"))

    def state(self, name):
        return self.worker.state(self.image(name)).state


@pytest.fixture
def parts(tmp_path, predictor):
    folder = tmp_path / "images"
    folder.mkdir()
    for shade, name in enumerate("abcdef"):
        (folder / f"{name}.png").write_bytes(picture(shade=shade))
    made = Parts(folder, tmp_path / "cache", predictor)
    made.worker.start()
    yield made
    made.held.set()
    made.worker.close()


def test_who_waits_is_served_before_who_is_foreseen(parts):
    parts.held.clear()
    parts.worker.request(parts.image("a"))
    wait(lambda: parts.state("a"), "running")
    parts.worker.request(parts.image("b"), prefetch=True)
    parts.worker.request(parts.image("c"), prefetch=True)
    parts.worker.request(parts.image("d"))
    state = parts.worker.request(parts.image("b"))
    assert (state.state, state.position) == ("queued", 2)
    assert parts.worker.state(parts.image("c")).position == 3
    parts.held.set()
    wait(lambda: parts.state("c"), "ready")
    assert parts.read == ["a.png", "d.png", "b.png", "c.png"]


def test_an_image_that_many_ask_for_is_embedded_once(parts):
    parts.held.clear()
    for _ in range(5):
        parts.worker.request(parts.image("a"))
    parts.held.set()
    wait(lambda: parts.state("a"), "ready")
    assert parts.worker.request(parts.image("a")).state == "ready"
    assert parts.read == ["a.png"]


def test_a_failure_is_told_and_the_next_try_may_do(parts):
    parts.problem = ValueError("got no image")
    parts.worker.request(parts.image("a"))
    wait(lambda: parts.state("a"), "failed")
    state = parts.worker.state(parts.image("a"))
    assert (state.state, state.message) == ("failed", "got no image")
    parts.problem = None
    parts.worker.request(parts.image("a"))
    wait(lambda: parts.state("a"), "ready")


def test_a_bug_ends_neither_the_thread_nor_tells_its_words(parts, caplog):
    parts.problem = RuntimeError("a bug at some path")
    parts.worker.request(parts.image("a"))
    wait(lambda: parts.state("a"), "failed")
    assert "path" not in (parts.worker.state(parts.image("a")).message or "")
    assert "a bug at some path" in caplog.text
    parts.problem = None
    parts.worker.request(parts.image("b"))
    wait(lambda: parts.state("b"), "ready")


def test_a_click_does_not_wait_for_a_long_job(parts):
    job = parts.worker.segment_everything(parts.image("a"), QUICK)
    wait(lambda: job.done > 0, True)
    parts.worker.request(parts.image("b"))
    wait(lambda: parts.state("b"), "ready")
    assert job.state == "running" and job.done < job.total == 64
    wait(lambda: job.state, "done")
    assert job.done == 64 and job.records
    # Once each: of what is embedded no pixels are kept for a job.
    assert parts.read == ["a.png", "b.png"]


def test_a_job_that_fails_says_why(parts):
    parts.problem = OSError(5, "Input/output error")
    job = parts.worker.segment_everything(parts.image("a"), QUICK)
    wait(lambda: job.state, "failed")
    assert job.message == "input/output error"


def test_jobs_are_bounded_and_old_ones_forgotten(parts):
    parts.held.clear()
    jobs = [
        parts.worker.segment_everything(parts.image("a"), QUICK)
        for _ in range(jobs_module.MOST_RUNNING)
    ]
    with pytest.raises(Refusal, match="jobs are running"):
        parts.worker.segment_everything(parts.image("b"), QUICK)
    for job in jobs:
        parts.worker.cancel(job.id)
    parts.held.set()
    for _ in range(2 * jobs_module.MOST_KEPT):
        newest = parts.worker.segment_everything(parts.image("b"), QUICK)
        parts.worker.cancel(newest.id)
    with pytest.raises(Refusal, match="no job"):
        parts.worker.job(jobs[0].id)
    assert parts.worker.job(newest.id)[0].state == "cancelled"


def test_only_a_single_job_computes_ahead_and_ended_jobs_hold_nothing(
    parts, monkeypatch
):
    ahead, freed = [], threading.Event()

    def steps(predictor, embedding, config, *, may_run_ahead):
        try:
            while True:
                ahead.append(may_run_ahead())
                yield Step(0, 1, None)
        finally:
            freed.set()

    monkeypatch.setattr(worker_module, "generate_in_steps", steps)
    first = parts.worker.segment_everything(parts.image("a"), QUICK)
    wait(lambda: ahead[-1:], [True])
    second = parts.worker.segment_everything(parts.image("b"), QUICK)
    wait(lambda: ahead[-1:], [False])
    parts.worker.cancel(first.id)
    assert freed.wait(60)
    wait(lambda: ahead[-1:], [True])
    parts.worker.cancel(second.id)


def test_what_takes_how_long_is_known_from_before(parts, predictor):
    assert parts.worker.state(parts.image("a")).expected_seconds is None
    parts.worker.request(parts.image("a"))
    wait(lambda: parts.state("a"), "ready")
    one = parts.cache.expected_seconds
    assert one is not None and one > 0
    assert parts.worker.state(parts.image("b")).expected_seconds == one
    again = Parts(parts.gallery.folder, parts.cache._files._folder, predictor)
    assert again.cache.expected_seconds == one
    assert again.state("a") == "ready" and not again.read


def test_an_embedding_that_is_damaged_or_of_other_weights_is_made_again(
    parts, predictor
):
    image = parts.image("a")
    path = parts.cache._files.path(parts.cache._key(image))
    right = predictor.embed(np.full((24, 32, 3), 50, np.uint8))
    wrong = ImageEmbedding(right.features, right.frame, "0" * 64)
    path.parent.mkdir(parents=True)
    for spoil in (lambda: path.write_bytes(b"half"), lambda: wrong.save(path)):
        spoil()
        assert parts.state("a") == "ready"
        with pytest.raises(Refusal, match="not embedded"):
            parts.worker.embedding(image)
        assert not path.exists()
    parts.worker.request(image)
    wait(lambda: parts.state("a"), "ready")
    assert parts.worker.embedding(image).fingerprint == predictor.fingerprint


@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO]
)
@pytest.mark.parametrize(
    "place", ["samjax.files.writing.os.replace", "pathlib.Path.mkdir"]
)
def test_an_embedding_that_cannot_be_kept_on_the_disk_is_there_all_the_same(
    parts, monkeypatch, caplog, error, place
):
    def refuse(*names, **more):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(place, refuse)
    image = parts.image("a")
    parts.worker.request(image)
    wait(lambda: parts.state("a"), "ready")
    assert parts.worker.has(image)
    assert parts.worker.request(image).state == "ready"
    assert parts.worker.embedding(image).frame.original_size == (24, 32)
    assert parts.cache.expected_seconds is not None
    assert "SAMJAX_CACHE" in caplog.text and "a.png" in caplog.text
    assert parts.read == ["a.png"]
    # After others it is made again, which is all that it costs.
    for name in "bcde":
        parts.worker.request(parts.image(name))
        wait(lambda name=name: parts.state(name), "ready")
    assert parts.state("a") == "absent"
    parts.worker.request(image)
    wait(lambda: parts.state("a"), "ready")


def test_a_damaged_embedding_that_cannot_be_removed_is_made_again(parts, monkeypatch):
    image = parts.image("a")
    path = parts.cache._files.path(parts.cache._key(image))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")

    def refuse(*names, **more):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    monkeypatch.setattr("samjax.files.writing.os.replace", refuse)
    for _ in range(2):
        with pytest.raises(Refusal, match="not embedded"):
            parts.worker.embedding(image)
        assert parts.state("a") == "absent"
    parts.worker.request(image)
    wait(lambda: parts.state("a"), "ready")
    assert parts.worker.embedding(image).frame.original_size == (24, 32)


def test_an_image_that_changed_is_another(parts):
    parts.worker.request(parts.image("a"))
    wait(lambda: parts.state("a"), "ready")
    (parts.gallery.folder / "a.png").write_bytes(picture((9, 9)))
    assert parts.state("a") == "absent"


def test_closing_keeps_what_was_nearly_done(parts):
    parts.held.clear()
    image = parts.image("a")
    parts.worker.request(image)
    wait(lambda: parts.state("a"), "running")
    threading.Timer(0.2, parts.held.set).start()
    parts.worker.close()
    assert parts.cache.has(image)
