import sqlite3
import threading

import numpy as np
import pytest

from samjax.engine.annotations.schema import VERSION
from samjax.engine.annotations.store import Store
from samjax.geometry.masks import encode_rle
from samjax.web.mask_checks import check_mask
from samjax.web.refusals import Refusal
from samjax.web.schemas import AnnotationIn, RunLengths

SIZE = (6, 8)


def mask(pixels=3):
    drawn = np.zeros(SIZE, bool)
    drawn.flat[:pixels] = True
    return check_mask(RunLengths(**encode_rle(drawn)), SIZE)


def fields(**changes):
    given = AnnotationIn(
        uuid="0123-4567", segmentation=RunLengths(**encode_rle(np.ones(SIZE, bool)))
    )
    return given.model_dump(exclude={"uuid", "segmentation"}) | changes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annotations.sqlite3"


@pytest.fixture
def store(path):
    made = Store(path)
    yield made
    made.close()


def add(store, uuid="uuid-one", image="a.png", **changes):
    return store.add(image, uuid, mask(), fields(**changes))[0]


def test_what_is_stored_is_there_for_who_opens_the_file_next(store, path):
    prompts = {
        "points": [[1.5, 2.0]],
        "labels": [1],
        "box": None,
        "mask": True,
        "text": None,
    }
    one = add(store, label="cat", score=0.5, prompts=prompts, edited=True, order=2.5)
    assert (one["label"], one["score"], one["edited"]) == ("cat", 0.5, True)
    assert (one["prompts"], one["area"], one["order"]) == (prompts, 3, 2.5)
    again = Store(path)
    assert again.get(one["id"]) == one
    assert again.changes("a.png") == (1, [one], [])
    assert again.changes("b.png") == (1, [], [])
    again.close()


def test_a_uuid_stores_once(store):
    one, is_new = store.add("a.png", "uuid-one", mask(), fields())
    assert is_new
    assert store.add("a.png", "uuid-one", mask(5), fields(label="x")) == (one, False)
    with pytest.raises(Refusal, match="another image"):
        add(store, image="b.png")
    store.delete(one["id"], one["revision"])
    with pytest.raises(Refusal, match="deleted"):
        add(store)
    assert store.counts(["a.png", "b.png"]) == {}


def test_who_saw_an_older_revision_overwrites_nothing(store):
    one = add(store)
    first = store.change(one["id"], one["revision"], {"label": "cat"})
    for attempt in (
        lambda: store.change(one["id"], one["revision"], {"label": "dog"}),
        lambda: store.change(one["id"], one["revision"], {}, mask(5)),
        lambda: store.delete(one["id"], one["revision"]),
        lambda: store.change(one["id"], first["revision"] + 1, {"label": "dog"}),
    ):
        with pytest.raises(Refusal) as refusal:
            attempt()
        assert refusal.value.status == 409
        assert refusal.value.more == {"annotation": first}
        assert store.get(one["id"]) == first
    assert first["label"] == "cat" and first["area"] == one["area"]
    assert first["created"] == one["created"]


def test_of_many_who_change_one_mask_at_once_one_does(store):
    one, won = add(store), []

    def change(label):
        try:
            won.append(store.change(one["id"], one["revision"], {"label": label}))
        except Refusal as refusal:
            assert refusal.status == 409

    threads = [threading.Thread(target=change, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.get(one["id"])]


def test_many_store_at_once_and_nothing_is_lost_or_numbered_twice(store):
    def some(worker):
        for i in range(10):
            add(store, f"uuid-{worker}-{i}")

    threads = [threading.Thread(target=some, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    revision, found, _ = store.changes("a.png")
    assert revision == 60
    assert sorted(one["revision"] for one in found) == list(range(1, 61))


def test_what_changed_since_is_all_that_changed(store):
    first, second = add(store, "uuid-one"), add(store, "uuid-two")
    seen, _, _ = store.changes("a.png")
    assert store.changes("a.png", seen) == (seen, [], [])
    changed = store.change(first["id"], first["revision"], {"label": "cat"})
    store.delete(second["id"], second["revision"])
    newest, kept, deleted = store.changes("a.png", seen)
    assert (kept, deleted) == ([changed], [second["id"]])
    restored = store.restore(second["id"])
    assert store.changes("a.png", newest)[1:] == ([restored], [])
    assert {**restored, "revision": 0, "changed": 0} == {
        **second,
        "revision": 0,
        "changed": 0,
    }


def test_deleting_twice_and_restoring_twice_are_no_errors(store):
    one = add(store)
    store.delete(one["id"], one["revision"])
    store.delete(one["id"], one["revision"])
    with pytest.raises(Refusal, match="was deleted"):
        store.get(one["id"])
    with pytest.raises(Refusal, match="was deleted"):
        store.change(one["id"], one["revision"], {"label": "x"})
    assert store.restore(one["id"]) == store.restore(one["id"]) == store.get(one["id"])


def test_masks_are_in_the_order_they_are_given(store):
    names = [("uuid-one", None), ("uuid-two", None), ("uuid-three", 0.5)]
    for uuid, order in names:
        add(store, uuid, order=order)
    found = [one["uuid"] for one in store.changes("a.png")[1]]
    assert found == ["uuid-three", "uuid-one", "uuid-two"]


def test_unknown_numbers_are_not_found(store):
    for number in (1, 1 << 70):
        for attempt in (
            lambda number=number: store.get(number),
            lambda number=number: store.delete(number, 1),
            lambda number=number: store.restore(number),
            lambda number=number: store.change(number, 1, {}),
        ):
            with pytest.raises(Refusal) as refusal:
                attempt()
            assert refusal.value.status == 404


def test_labels_and_counts_are_of_what_is_not_deleted(store):
    add(store, "uuid-one", label="cat")
    add(store, "uuid-two", label="dog", image="b.png")
    add(store, "uuid-three", label="dog")
    gone = add(store, "uuid-four", label="gone", image="c.png")
    store.delete(gone["id"], gone["revision"])
    assert store.labels() == ["dog", "cat"]
    assert store.counts([f"{i}.png" for i in range(3000)] + ["a.png"]) == {"a.png": 2}
    assert sorted(store.annotated()) == ["a.png", "b.png"]


def test_a_write_that_fails_leaves_nothing_of_it(store, monkeypatch):
    one = add(store)
    with pytest.raises(sqlite3.Error):
        store.change(one["id"], one["revision"], {"label": None})
    assert store.get(one["id"]) == one
    assert store.changes("a.png")[0] == one["revision"]


def test_commits_are_on_the_disk_before_they_are_answered(store):
    with store._database.connection() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        full = 2
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == full
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] >= 5000


def test_a_database_of_a_newer_samjax_is_refused_and_left_alone(store, path):
    add(store)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a newer samjax wrote it"):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_that_is_something_else_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another program"):
        Store(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    with pytest.raises(ValueError, match="no database of annotations"):
        Store(path)
    path.unlink()
    with pytest.raises(OSError, match="--state"):
        Store(path.parent / "nowhere" / "annotations.sqlite3")
