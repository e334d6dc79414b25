"""Sets of photos: what is an object, what is ignored, what is damaged and named."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_photo_set import SIZE, TWO, draw, square, write_set

from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.geometry.masks import encode_rle

SHARED = Path(__file__).parents[4] / "shared" / "data" / "eval"


def changed(change):
    """Changes a field of the first annotation."""

    def apply(content):
        content["annotations"][0].update(change)

    return apply


def reasons(photo_set):
    return Counter(part.reason for part in photo_set.skipped)


def test_photos_and_masks_come_back_as_they_were_written(tmp_path):
    band = square(0, 0, 10)
    path = write_set(tmp_path / "birds", [TWO, TWO[:1]], ignored=[band])
    photo_set = read_photo_set(path)
    assert photo_set.name == "birds" and not photo_set.skipped
    first, second = photo_set.photos
    np.testing.assert_array_equal(first.masks(), TWO)
    np.testing.assert_array_equal(first.read(), draw(TWO))
    np.testing.assert_array_equal(first.ignored_pixels(), band)
    assert second.ignored_pixels() is None and second.masks().shape == (1, *SIZE)
    assert [one.area for one in first.objects] == [22**2, 25**2]
    assert {one.category for one in first.objects} == {"thing"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation": {"size": [90, 80], "counts": "0"}}, "damaged mask"),
        ({"segmentation": {"size": [60, 80], "counts": "~"}}, "damaged mask"),
        ({"segmentation": encode_rle(square(0, 0, 90, (90, 90)))}, "damaged mask"),
        ({"segmentation": []}, "no mask"),
        ({"box_only": 1}, "no mask"),
        ({"iscrowd": 1}, "covers many objects (iscrowd)"),
        ({"image_id": 77}, "damaged entry"),
        ({"id": [1]}, "damaged entry"),
    ],
)
def test_an_annotation_that_cannot_be_scored_is_left_out_and_named(
    tmp_path, change, reason
):
    photo_set = read_photo_set(write_set(tmp_path / "set", change=changed(change)))
    assert sum(len(photo.objects) for photo in photo_set.photos) == 3
    assert reasons(photo_set) == {reason: 1}
    assert "annotation" in photo_set.skipped[0].name


@pytest.mark.parametrize(
    "name", ["../../far.png", "../set", "/etc/passwd", "a\\b.png", "images/../x", 3]
)
def test_names_that_lead_far_away_are_damage(tmp_path, name):
    def rename(content):
        content["images"][0]["file_name"] = name

    photo_set = read_photo_set(write_set(tmp_path / "set", change=rename))
    assert len(photo_set.photos) == 1 and reasons(photo_set) == {"damaged entry": 1}


def test_a_photo_may_be_in_a_sibling_set(tmp_path):
    write_set(tmp_path / "other")

    def elsewhere(content):
        content["images"][0]["file_name"] = "../other/images/000.png"

    photo_set = read_photo_set(write_set(tmp_path / "set", change=elsewhere))
    (tmp_path / "set/images/000.png").unlink()
    for photo in photo_set.photos:
        np.testing.assert_array_equal(photo.read(), draw(TWO))


def test_photos_in_the_usual_folders_of_coco_are_found(tmp_path):
    def bare(content):
        for image in content["images"]:
            image["file_name"] = image["file_name"].removeprefix("images/")

    folder = write_set(tmp_path / "set", change=bare)
    assert len(read_photo_set(folder).photos[0].read())
    # A result beside it does not hide the annotations, and the file can be named too.
    (folder / "result.json").write_text("{}")
    assert len(read_photo_set(folder).photos) == 2
    assert read_photo_set(folder / "annotations.json").name == "set"


def damage(path, kind):
    if kind == "missing":
        path.unlink()
    elif kind == "cut off":
        path.write_bytes(path.read_bytes()[:60])
    elif kind == "no image":
        path.write_text("not an image")
    else:
        Image.fromarray(draw(TWO)[:50]).save(path)


@pytest.mark.parametrize("kind", ["missing", "cut off", "no image", "smaller"])
def test_a_damaged_photo_is_an_error_that_names_it(tmp_path, kind):
    folder = write_set(tmp_path / "set")
    damage(folder / "images/001.png", kind)
    photo = read_photo_set(folder).photos[1]
    with pytest.raises(ValueError, match=r"images/001\.png"):
        photo.read()


@pytest.mark.parametrize("masks_are", ["upright", "as stored"])
def test_a_photo_that_lies_on_its_side_is_turned_to_its_masks(tmp_path, masks_are):
    folder = write_set(tmp_path / "set")
    upright = draw(TWO)
    exif = Image.Exif()
    exif[0x0112] = 6
    # Orientation 6: turned clockwise to be seen upright.
    stored = np.rot90(upright) if masks_are == "upright" else upright
    Image.fromarray(np.ascontiguousarray(stored)).save(
        folder / "images/000.png", exif=exif
    )
    np.testing.assert_array_equal(read_photo_set(folder).photos[0].read(), upright)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON", "not JSON"),
        ("[]", "another kind"),
        ('{"images": [], "annotations": []}', "no object with a mask"),
    ],
)
def test_a_file_that_is_no_set_is_refused(tmp_path, content, said):
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        read_photo_set(tmp_path)


def test_a_set_without_its_photos_is_refused(tmp_path):
    folder = write_set(tmp_path / "set")
    for photo in (folder / "images").iterdir():
        photo.unlink()
    with pytest.raises(ValueError, match="move or link them"):
        read_photo_set(folder)


@pytest.mark.parametrize(
    ("name", "photos", "objects", "ignored"),
    [
        ("coco", 24, 245, 0),
        ("grabcut", 50, 50, 42),
        ("berkeley", 96, 100, 0),
        ("davis115", 115, 115, 0),
    ],
)
def test_the_sets_at_hand_are_read_whole(name, photos, objects, ignored):
    if not (SHARED / name).is_dir():
        pytest.skip(f"the set {name} is not on this machine")
    photo_set = read_photo_set(SHARED / name)
    assert len(photo_set.photos) == photos
    assert sum(len(photo.objects) for photo in photo_set.photos) == objects
    assert sum(bool(photo.ignored) for photo in photo_set.photos) == ignored
    listed = json.loads((SHARED / name / "annotations.json").read_text())
    assert len(listed["images"]) == photos
    assert photo_set.photos[0].read().shape[:2] == photo_set.photos[0].size
