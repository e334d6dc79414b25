"""Photos to label: of folders and COCO files, read as training reads them."""

import json

import numpy as np
import pytest
from data.finetune.files import SIZE, coco_folder, noise, save
from PIL import Image

from samjax.data.decode import ImageFile
from samjax.data.finetune import CocoSource
from samjax.engine import open_photos
from samjax.engine.photos import read_photo
from samjax.inference.images import read_image

LICENCES = [{"id": 4, "name": "Attribution"}, {"id": 5, "name": "ShareAlike"}]


def change(folder, change_content):
    """Edits a COCO file."""
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change_content(content)
    path.write_text(json.dumps(content))


def names(photos) -> list[str]:
    return [photo.item.name for photo in photos.photos]


def test_photos_of_a_coco_file_are_those_without_masks(tmp_path):
    coco_folder(tmp_path)
    for place in (tmp_path, tmp_path / "annotations.json"):
        found = open_photos(place)
        assert names(found) == ["photo 2.png"]
        (photo,) = found.photos
        assert photo.image_id == 2
        np.testing.assert_array_equal(photo.item.read(), noise(2))
    assert names(open_photos(tmp_path, labelled_too=True)) == [
        f"photo {number}.png" for number in range(3)
    ]


def test_boxes_and_crowds_are_no_masks(tmp_path):
    coco_folder(tmp_path)

    def to_boxes(content):
        content["annotations"][0] |= {"box_only": True}
        del content["annotations"][1]

    change(tmp_path, to_boxes)
    assert len(open_photos(tmp_path).photos) == 3


def test_licences_come_along_and_leave_images_out(tmp_path):
    coco_folder(tmp_path)

    def license_all(content):
        content["licenses"] = LICENCES
        content["annotations"] = []
        for image, number in zip(content["images"], (4, 5, 5), strict=True):
            image |= {"license": number, "author": "A. Nother"}
        content["images"][1] |= {"license": None, "licence": "CC-BY-SA-4.0"}

    change(tmp_path, license_all)
    found = open_photos(tmp_path, exclude_licences=("5",))
    assert names(found) == ["photo 0.png", "photo 1.png"]
    assert list(found.licences) == LICENCES
    assert found.photos[0].fields == {"license": 4, "author": "A. Nother"}
    found = open_photos(tmp_path, exclude_licences=("ShareAlike", "CC BY-SA"))
    assert names(found) == ["photo 0.png"]
    with pytest.raises(ValueError, match="under none of 4, 5, CC BY-SA: there is noth"):
        open_photos(tmp_path, exclude_licences=("4", "5", "CC BY-SA"))


def test_photos_of_a_folder_are_numbered_by_name(tmp_path):
    for name in ("b.png", "a.png", "c.jpg"):
        save(tmp_path / name, noise(0))
    (tmp_path / "notes.json").write_text("{}")
    found = open_photos(tmp_path)
    assert [(one.image_id, one.item.name) for one in found.photos] == [
        (1, "a.png"),
        (2, "b.png"),
        (3, "c.jpg"),
    ]
    with pytest.raises(ValueError, match="has no licences, but 5 is"):
        open_photos(tmp_path, exclude_licences=("5",))


def test_what_has_nothing_to_label_is_said(tmp_path):
    with pytest.raises(OSError):
        open_photos(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no JSON file"):
        open_photos(tmp_path)
    coco_folder(tmp_path)
    change(tmp_path, lambda content: content["images"].pop())
    with pytest.raises(ValueError, match="has no image without a mask: there is noth"):
        open_photos(tmp_path)


def test_damaged_parts_are_named_and_passed_over(tmp_path):
    coco_folder(tmp_path)
    change(
        tmp_path, lambda content: content["images"].append({"id": 9, "file_name": 1})
    )
    found = open_photos(tmp_path)
    assert len(found.photos) == 1 and "image 9" in found.problems[0]


def test_a_photo_that_is_missing_damaged_or_of_another_size_says_so(tmp_path):
    coco_folder(tmp_path)
    (photo,) = open_photos(tmp_path).photos
    path = tmp_path / "images/photo 2.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read as an image"):
        photo.item.read()
    Image.new("RGB", (9, 9)).save(path)
    with pytest.raises(ValueError, match=r"of \(9, 9\) where the COCO file says \(24,"):
        photo.item.read()
    path.unlink()
    with pytest.raises(ValueError, match="missing"):
        photo.item.read()


@pytest.mark.filterwarnings("ignore:.*photos are turned by their EXIF:UserWarning")
@pytest.mark.parametrize("size", [SIZE, (24, 24)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_those_that_training_reads(tmp_path, orientation, size):
    """Photos are read upright by their EXIF orientation, the frame of the labels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(3)[: size[0], : size[1]]
    path = tmp_path / "images" / "lying.png"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path, exif=exif)
    (photo,) = open_photos(path.parent).photos
    read = photo.item.read()
    height, width, _ = read.shape
    entry = {"id": 1, "file_name": path.name, "height": height, "width": width}
    (tmp_path / "labels.json").write_text(json.dumps({"images": [entry]}))
    source = CocoSource(tmp_path / "labels.json", unlabelled=True)
    example = source[0]
    frame = example.record["image"].get("frame", "stored")
    trained_on = ImageFile(example.image, frame).read((height, width))
    np.testing.assert_array_equal(read, trained_on)
    np.testing.assert_array_equal(read, read_photo(path, (height, width)))
    np.testing.assert_array_equal(read, read_image(path))
    stored = read_photo(path, pixels.shape[:2], "stored")
    np.testing.assert_array_equal(stored, pixels)
