"""Sets of referring expressions in the published layout, each with one defect."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from small_photo_set import square, write_set

from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.referring import is_referring, read_referring
from samjax.evaluation.datasets.selection import Selection

THREE = (square(2, 2, 22), square(2, 30, 22), square(30, 40, 25))
ALL = Selection(min_area=1)


def reference(number, annotation, split, *texts):
    """A reference as the published files have it."""
    return {
        "ref_id": number,
        "ann_id": annotation,
        "category_id": 1,
        "image_id": 0,
        "split": split,
        "file_name": f"COCO_train2014_000000000000_{number}.jpg",
        "sentences": [
            {
                "tokens": text.split(),
                "raw": text.title(),
                "sent_id": 10 * number + index,
                "sent": text,
            }
            for index, text in enumerate(texts)
        ],
        "sent_ids": [10 * number + index for index in range(len(texts))],
    }


def published():
    """References to the annotations 1 to 3 of a photo, 4 of another and 5 of a third."""
    return [
        reference(1, 1, "val", "left cup", "the cup on the left"),
        reference(2, 3, "val", "big one"),
        reference(3, 4, "val", "alone"),
        reference(4, 5, "testA", "a person"),
        reference(5, 2, "testA", "somebody else"),
    ]


def write_referring(folder, content=None, name="refs(unc).p", protocol=2):
    """Writes a set in the layout, with its photos beside it."""
    photos = (THREE, THREE[:1], THREE[1:2])
    write_set(folder, photos, change=name_photos)
    (folder / "annotations.json").rename(folder / "instances.json")
    content = published() if content is None else content
    (folder / name).write_bytes(pickle.dumps(content, protocol))
    return folder


def name_photos(content):
    for image in content["images"]:
        image["file_name"] = image["file_name"].removeprefix("images/")


@pytest.fixture
def folder(tmp_path):
    return write_referring(tmp_path / "refcoco")


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_every_expression_is_a_target_with_that_of_another_object(tmp_path, protocol):
    folder = write_referring(tmp_path / "refcoco", protocol=protocol)
    dataset = read_referring(folder, ALL)
    assert dataset.name == "refcoco val (unc)" and not dataset.skipped
    first, second = (dataset[index] for index in range(len(dataset)))
    captions = ["left cup", "the cup on the left", "big one"]
    assert first.truth["captions"] == captions
    for target, mask in zip(first.targets, THREE[:1] * 2 + THREE[2:], strict=True):
        np.testing.assert_array_equal(target, mask)
    assert first.truth["other_captions"][:2] == ["big one"] * 2
    assert first.truth["other_captions"][2] in captions[:2]
    assert [of["sentence"] for of in first.objects] == [10, 11, 20]
    assert [of["annotation"] for of in first.objects] == [1, 1, 3]
    # Alone in its photo: the other one is of another photo of the split.
    assert second.truth["captions"] == ["alone"]
    assert second.truth["other_captions"][0] in captions


def test_splits_and_divisions_are_named(folder):
    people = read_referring(folder.parent / "refcoco:testA", ALL)
    captions = [sample.truth["captions"] for sample in people]
    assert captions == [["a person"], ["somebody else"]]
    google = [reference(9, 2, "val", "middle"), reference(8, 4, "val", "alone")]
    (folder / "refs(google).p").write_bytes(pickle.dumps(google))
    # The usual division is that of UNC; the other one is named.
    assert read_referring(folder, ALL).name == "refcoco val (unc)"
    other = read_referring(folder / "refs(google).p", ALL)
    assert other.name == "refcoco val (google)"
    assert other[0].truth["captions"] == ["middle"]
    google.pop()
    (folder / "refs(google).p").write_bytes(pickle.dumps(google))
    with pytest.raises(ValueError, match="expressions of one object in the split"):
        read_referring(folder / "refs(google).p", ALL)
    with pytest.raises(ValueError, match=r"split 'test', expected one of testA, val"):
        read_referring(folder.parent / "refcoco:test", ALL)


def test_photos_are_found_where_the_tools_of_the_sets_have_them(folder):
    (folder.parent / "images/mscoco/images").mkdir(parents=True)
    shutil.move(folder / "images", folder.parent / "images/mscoco/images/train2014")
    assert read_referring(folder, ALL)[0].image.shape == (60, 80, 3)
    shutil.rmtree(folder.parent / "images")
    with pytest.raises(ValueError, match="expected COCO's train2014 in one of"):
        read_referring(folder, ALL)


def test_small_objects_and_photos_beyond_the_number_are_left_out(folder):
    dataset = read_referring(folder, Selection(min_area=500))
    assert dataset.small == 3 and [of.truth["captions"] for of in dataset] == [
        ["big one"]
    ]
    assert len(read_referring(folder, Selection(min_area=1, images=1))) == 1


def test_a_missing_photo_is_skipped(folder):
    (folder / "images/001.png").unlink()
    skipped = read_referring(folder, ALL)[1]
    assert isinstance(skipped, Skipped) and skipped.reason == "damaged or missing photo"


DEFECTS = {
    "no dict": (lambda entry: 7, "damaged reference", 2),
    "no split": (lambda entry: entry.pop("split"), "damaged reference", 2),
    "no id": (lambda entry: entry.pop("ref_id"), "damaged reference", 2),
    "an id of text": (
        lambda entry: entry.update(ann_id="1"),
        "damaged reference",
        2,
    ),
    "no sentences": (lambda entry: entry["sentences"].clear(), "damaged reference", 2),
    "a sentence of a number": (
        lambda entry: entry["sentences"].__setitem__(0, 3),
        "damaged reference",
        3,
    ),
    "an empty sentence": (
        lambda entry: entry["sentences"][0].update(sent=" "),
        "damaged reference",
        3,
    ),
    "an object that is not there": (
        lambda entry: entry.update(ann_id=77),
        "no such object",
        2,
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_damaged_reference_is_left_out_and_listed(tmp_path, defect):
    change, reason, count = DEFECTS[defect]
    content = published()
    changed = change(content[0])
    if changed == 7:
        content[0] = changed
    dataset = read_referring(write_referring(tmp_path / "r", content), ALL)
    assert [part.reason for part in dataset.skipped] == [reason]
    assert sum(len(of.targets) for of in dataset) == count


def test_a_damaged_mask_is_left_out_with_its_expressions(folder):
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"][0]["segmentation"] = {"counts": "~", "size": [60, 80]}
    (folder / "instances.json").write_text(json.dumps(content))
    dataset = read_referring(folder, ALL)
    reasons = [part.reason for part in dataset.skipped]
    assert reasons == ["damaged mask", "no such object"]
    assert dataset[0].truth["captions"] == ["big one"]


class Calls:
    def __reduce__(self):
        return os.mkdir, ("called",)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (pickle.dumps([Calls()]), "nothing was executed"),
        (pickle.dumps({"refs": []}), "got a dict, expected a list of references"),
        (pickle.dumps(published())[:-9], "Not a readable pickle"),
        (b"version https://git-lfs", "Not a readable pickle"),
        (pickle.dumps([]), "expected one of its splits"),
    ],
)
def test_a_pickle_of_anything_else_is_refused(
    folder, tmp_path, monkeypatch, data, problem
):
    monkeypatch.chdir(tmp_path)
    (folder / "refs(unc).p").write_bytes(data)
    with pytest.raises(ValueError, match=problem):
        read_referring(folder, ALL)
    assert not (tmp_path / "called").exists()


def test_other_folders_are_not_of_the_layout(folder, tmp_path):
    assert is_referring(folder) and is_referring(folder / "refs(unc).p")
    assert is_referring(tmp_path / "refcoco:val")
    assert not is_referring(folder / "instances.json") and not is_referring(tmp_path)
    (folder / "instances.json").unlink()
    assert not is_referring(folder)
