"""PhraseCut in the published layout, whole and with damaged tasks."""

import json

import numpy as np
import pytest
from PIL import Image
from small_photo_set import draw, square

from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.phrase_cut import is_phrase_cut, read_phrase_cut
from samjax.evaluation.datasets.selection import Selection

LEFT, RIGHT, BELOW = square(5, 5, 20), square(5, 40, 20), square(35, 20, 10)
ALL = Selection(min_area=1)


def outline(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    right, bottom = int(columns[-1]) + 1, int(rows[-1]) + 1
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def task(image, phrase, ids, *masks):
    """A task as the published files have it, with a polygon for each mask."""
    corners = [outline(mask) for mask in masks]
    return {
        "task_id": f"{image}__{'_'.join(map(str, ids))}",
        "image_id": image,
        "ann_ids": ids,
        "instance_boxes": [[*of[0], of[2][0] - of[0][0], 1] for of in corners],
        "Polygons": [[of] for of in corners],
        "phrase": phrase,
        "phrase_structure": {"name": phrase.split()[-1], "attributes": []},
    }


def published():
    return [
        task(7, "two cups", [1, 2], LEFT, RIGHT),
        task(7, "left cup", [1], LEFT),
        task(7, "small plate", [3], BELOW),
        task(12, "a spoon", [4], RIGHT),
    ]


def write_phrase_cut(folder, content=None, split="val"):
    """Writes a split in the layout, with its photos."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for image, masks in ((7, (LEFT, RIGHT, BELOW)), (12, (RIGHT,))):
        Image.fromarray(draw(masks)).save(folder / "images" / f"{image}.jpg")
    content = published() if content is None else content
    (folder / f"refer_{split}.json").write_text(json.dumps(content))
    return folder


def test_a_phrase_has_the_union_of_its_instances(tmp_path):
    folder = write_phrase_cut(tmp_path / "VGPhraseCut_v0")
    dataset = read_phrase_cut(folder, ALL)
    assert dataset.name == "VGPhraseCut_v0 val" and len(dataset) == 2
    first, second = dataset[0], dataset[1]
    assert first.truth["captions"] == ["two cups", "left cup", "small plate"]
    np.testing.assert_array_equal(first.targets, [LEFT | RIGHT, LEFT, BELOW])
    assert [of["instances"] for of in first.objects] == [2, 1, 1]
    # Of other instances: the left cup is one of the two.
    for seed in range(9):
        drawn = read_phrase_cut(folder, Selection(min_area=1, seed=seed))[0]
        assert drawn.truth["other_captions"][:2] == ["small plate", "small plate"]
    assert first.truth["other_captions"][2] in ("two cups", "left cup")
    # The only phrase of its photo.
    assert second.truth["captions"] == ["a spoon"]
    assert second.truth["other_captions"][0] in first.truth["captions"]
    assert dataset[0].truth == first.truth


def test_splits_are_named_behind_a_colon_or_as_files(tmp_path):
    folder = write_phrase_cut(tmp_path / "cut")
    write_phrase_cut(folder, published()[1:], split="miniv")
    for path in (f"{folder}:miniv", folder / "refer_miniv.json"):
        dataset = read_phrase_cut(type(folder)(path), ALL)
        assert dataset.name == "cut miniv" and len(dataset.tasks) == 3
        assert is_phrase_cut(type(folder)(path))
    with pytest.raises(ValueError, match="expected one of the splits miniv, val"):
        read_phrase_cut(type(folder)(f"{folder}:train"), ALL)
    assert not is_phrase_cut(tmp_path) and not is_phrase_cut(tmp_path / "refer_.json")


def test_photos_and_small_regions_are_selected(tmp_path):
    folder = write_phrase_cut(tmp_path)
    assert len(read_phrase_cut(folder, Selection(min_area=1, images=1))) == 1
    large = read_phrase_cut(folder, Selection(min_area=300))
    assert large.small == 1 and read_phrase_cut(folder, ALL).small == 0
    assert large[0].truth["captions"] == ["two cups", "left cup"]


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": 3},
        {"image_id": "7"},
        {"phrase": " "},
        {"ann_ids": ["a"]},
        {"ann_ids": 4},
        {"Polygons": []},
        {"Polygons": [[[1, 2], [3, 4]]]},
        {"Polygons": [[[["a", 1]]]]},
        {"Polygons": [[[[1, 2], [3]]]]},
    ],
)
def test_damaged_tasks_are_left_out_and_listed(tmp_path, change):
    folder = write_phrase_cut(tmp_path, [*published(), published()[0] | change])
    dataset = read_phrase_cut(folder, ALL)
    assert len(dataset.tasks) == 4
    (skipped,) = dataset.skipped
    assert skipped.reason == "damaged task" and "expected task_id" in skipped.detail


def test_damaged_photos_and_outlines_are_skipped(tmp_path):
    tasks = published()
    tasks[3]["Polygons"] = [[[[0, 0], [1e12, 0], [5, 5]]]]
    folder = write_phrase_cut(tmp_path, tasks)
    (folder / "images" / "7.jpg").write_bytes(b"none")
    dataset = read_phrase_cut(folder, ALL)
    photo, outlines = dataset[0], dataset[1]
    assert isinstance(photo, Skipped) and photo.reason == "damaged or missing photo"
    assert isinstance(outlines, Skipped) and outlines.reason == "damaged task"
    assert dataset.small >= 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "expected a list of tasks"),
        ([], "got phrases of 0 photos"),
        (published()[:3], "got phrases of 1 photos"),
    ],
)
def test_files_that_are_no_split_are_refused(tmp_path, content, problem):
    folder = write_phrase_cut(tmp_path, content)
    with pytest.raises(ValueError, match=problem):
        read_phrase_cut(folder, ALL)
    (folder / "refer_val.json").write_text("[" * 10_000)
    with pytest.raises(ValueError, match="is no JSON"):
        read_phrase_cut(folder, ALL)
