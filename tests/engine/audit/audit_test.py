"""Audits: images drawn once, corrections paired by id, the worst shown."""

import json
import random

import numpy as np
import pytest
from engine.rounds.conftest import SIZE, add_mask, draw, make_project

from samjax.data.formats.annotations import make_annotation
from samjax.data.formats.sa1b import write_record, write_shard
from samjax.engine.annotations import encoded_mask
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.audit.drawing import audit_result, begin_audit
from samjax.engine.audit.figures import audit_records
from samjax.engine.audit.page import draw_pair, render_audit
from samjax.evaluation.datasets.mask_records import RecordSamples
from samjax.geometry.masks import encode_rle, mask_to_counts


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


def record_of(project, name, number):
    masks = draw(number)[1]
    return {
        "image": {
            "image_id": number,
            "height": SIZE[0],
            "width": SIZE[1],
            "file_name": name,
        },
        "annotations": [
            make_annotation(mask_to_counts(mask), SIZE, 10 * number + index)
            | {"stage": 3, "round": 5, "model": "m"}
            for index, mask in enumerate(masks)
        ],
    }


def automatic(project, folder, *, as_tar=False):
    folder.mkdir()
    records = [record_of(project, f"image-{n:02d}.png", n) for n in range(14)]
    if as_tar:
        items = [
            (r["image"]["file_name"], project.read(r["image"]["file_name"]), r)
            for r in records
        ]
        write_shard(folder / "sa_000000.tar", items)
    else:
        for record in records:
            write_record(folder, record)
    return folder


@pytest.mark.parametrize("as_tar", [False, True])
def test_an_audit_draws_by_seed_imports_once_and_queues(project, tmp_path, as_tar):
    records = automatic(project, tmp_path / "run", as_tar=as_tar)
    begun = begin_audit(project, 1, images=3, seed=4, records=records)
    names = sorted(f"image-{n:02d}.png" for n in range(14))
    assert begun["images"] == sorted(random.Random(4).sample(names, 3))
    assert begin_audit(project, 1, images=3, seed=4, records=records) == begun
    store = project.open_store()
    _, rows = store.snapshot()
    own = [row for row in rows if row["source"] == "automatic"]
    assert len(own) == 6 and {row["image"] for row in own} == set(begun["images"])
    assert {(row["stage"], row["round"], row["model"]) for row in own} == {(3, 5, "m")}
    assert TaskQueue(store.database).counts(1)["audit", "open"] == 3
    store.close()
    with pytest.raises(ValueError, match="began with"):
        begin_audit(project, 1, images=3, seed=5, records=records)


def test_corrections_are_paired_by_id_and_masks_of_people_are_none(project, tmp_path):
    records = automatic(project, tmp_path / "run")
    begun = begin_audit(project, 1, images=2, seed=0, records=records)
    store = project.open_store()
    _, rows = store.snapshot()
    one, two, *_ = own = [row for row in rows if row["source"] == "automatic"]
    half = np.zeros(SIZE, bool)
    half[:, :10] = True
    counts = encode_rle(half)["counts"]
    store.change(
        one["id"], one["revision"], {"edited": True}, encoded_mask(counts, SIZE)
    )
    store.delete(two["id"], two["revision"])
    add_mask(store, begun["images"][0], half[::-1, ::-1].copy(), author="Bob")
    store.close()
    figures = audit_result(project, 1)
    content = figures.content
    assert (content["images"], content["masks"], content["pairs"]) == (2, 4, 3)
    assert content["removed"] == 1 / 4 and content["added"] == 1 / 4
    assert content["above_0.90"] == pytest.approx(2 / 3)
    assert content["worst"][0]["id"] == one["id"]
    assert content["worst"][0]["image"] == one["image"]
    assert len(own) == 4
    assert content["images_not_done"] == 2, "nobody finished a task"
    store = project.open_store()
    queue = TaskQueue(store.database)
    task = queue.claim("Bob", ["audit"])
    assert task is not None
    queue.finish(task.id, "Bob", "done")
    store.close()
    assert audit_result(project, 1).content["images_not_done"] == 1


def test_an_audit_that_was_not_begun_is_named(project):
    with pytest.raises(ValueError, match="--draw first"):
        audit_result(project, 1)
    with pytest.raises(ValueError, match="none with automatic masks"):
        begin_audit(project, 1, images=3, seed=0)


def samples(name, masks_of_images):
    return RecordSamples(
        name=name,
        records=[
            {
                "image": {
                    "image_id": number,
                    "height": SIZE[0],
                    "width": SIZE[1],
                    "file_name": f"{number}.png",
                },
                "annotations": [
                    make_annotation(
                        mask_to_counts(mask), SIZE, index, predicted_iou=0.8
                    )
                    for index, mask in enumerate(masks)
                ],
            }
            for number, masks in enumerate(masks_of_images)
        ],
    )


def test_any_two_sets_are_compared_and_only_the_worst_keep_pixels():
    before = [draw(number)[1] for number in range(8)]
    after = [
        [np.roll(mask, number, axis=0) for mask in masks]
        for number, masks in enumerate(before)
    ]
    figures = audit_records(samples("a", before), samples("b", after), most=3)
    assert figures.content["pairs"] == 16 and len(figures.worst) == 3
    assert all(pair.before.size for pair in figures.worst)
    assert [pair.iou for pair in figures.worst] == sorted(
        pair.iou for pair in figures.worst
    )
    assert figures.content["calibration"]["mean_predicted"] == pytest.approx(0.8)
    low, high = figures.content["above_0.90_interval"]
    assert low <= figures.content["above_0.90"] <= high
    json.dumps(figures.content)
    with pytest.raises(ValueError, match="the same images in both"):
        audit_records(samples("a", before[:1]), samples("b", []))


def test_the_page_holds_the_worst_pairs_and_escapes_names():
    before = [draw(0)[1]]
    after = [[np.roll(mask, 9, axis=0) for mask in before[0]]]
    figures = audit_records(
        samples("a", before), samples("b", after), name_of=lambda name: "<b>x"
    )
    page = render_audit(figures, "Audit", lambda name: draw(0)[0])
    assert page.count("<img ") == 2 and "&lt;b&gt;x" in page and "<b>x" not in page
    drawn = draw_pair(figures.worst[0], lambda name: None)
    assert drawn.shape[2] == 3 and (drawn == 128).any()
