"""YOLO's format restores masks, and invalid lines are reported."""

import json
import re

import numpy as np
import pytest
from data.formats.small_records import (
    HOSTILE_NAMES,
    bare,
    masks_of,
    record,
    record_lists,
)
from hypothesis import given, settings
from PIL import Image

from samjax.data.formats.yolo import read_yolo, write_yolo

TWO_RINGS = np.zeros((12, 20), bool)
TWO_RINGS[1:8, 1:8] = TWO_RINGS[2:11, 11:19] = True
TWO_RINGS[3:6, 3:6] = TWO_RINGS[5:7, 13:16] = False


def sizes(records) -> dict[str, tuple[int, int]]:
    return {
        one["image"]["file_name"]: (one["image"]["height"], one["image"]["width"])
        for one in records
    }


@settings(max_examples=40)
@given(record_lists())
def test_masks_survive_a_round_trip(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("yolo")
    write_yolo(folder, iter(records))
    back = list(read_yolo(folder, sizes(records)))
    assert [one["image"] for one in back] == [one["image"] for one in records]
    for one, original in zip(back, records, strict=True):
        # An empty mask has no line.
        masks = [mask for mask in masks_of(original) if mask.any()]
        assert len(one["annotations"]) == len(masks)
        for ours, mask in zip(masks_of(one), masks, strict=True):
            np.testing.assert_array_equal(ours, mask)


def test_fields_that_the_format_lacks_have_neutral_values(tmp_path):
    original = record([TWO_RINGS, ~TWO_RINGS])
    write_yolo(tmp_path, [original])
    assert list(read_yolo(tmp_path, sizes([original]))) == [bare(original)]


def test_corners_are_restored_exactly_in_the_largest_images(tmp_path):
    """Six decimals of 99,991 columns are a twentieth of a pixel."""
    mask = np.zeros((3, 99_991), bool)
    mask[1, 50_000:50_100:2] = True
    mask[2, 98_765] = True
    mask[:, [0, 99_990]] = True
    write_yolo(tmp_path, [record([mask])])
    (back,) = read_yolo(tmp_path, {"sa_1.jpg": mask.shape})
    np.testing.assert_array_equal(masks_of(back)[0], mask)


def test_a_line_is_a_class_and_normalized_coordinates(tmp_path):
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2:6] = True
    write_yolo(tmp_path, [record([mask, np.zeros_like(mask)])])
    assert (tmp_path / "labels" / "sa_1.txt").read_text() == (
        "0 0.250000 0.250000 0.750000 0.250000 0.750000 0.750000 0.250000 0.750000\n"
    )


def test_every_mask_is_a_single_line_with_any_regions_and_holes(tmp_path):
    write_yolo(tmp_path, [record([TWO_RINGS])])
    assert (tmp_path / "labels" / "sa_1.txt").read_text().count("\n") == 1


@pytest.mark.parametrize("category", ["object", "a: [b] # 'c' \"d\"", "犬"])
def test_the_class_is_named_in_data_yaml(tmp_path, category):
    write_yolo(tmp_path, [], category=category)
    text = (tmp_path / "data.yaml").read_text("utf-8")
    # A quoted text of JSON is one of YAML.
    found = re.fullmatch(r"train: images\nval: images\nnames:\n  0: (\".*\")\n", text)
    assert json.loads(found[1]) == category


def test_equal_records_give_equal_bytes(tmp_path):
    records = [record([TWO_RINGS], image_id=2), record([], image_id=1)]
    for name in ("a", "b"):
        write_yolo(tmp_path / name, records)
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*.*"))
        }
        for name in ("a", "b")
    ]
    assert files[0] == files[1] and len(files[0]) == 3


def test_sizes_are_those_of_the_upright_images(tmp_path):
    write_yolo(tmp_path, [record([TWO_RINGS], file_name="ä.jpg")])
    (tmp_path / "images").mkdir()
    pixels = Image.new("RGB", (12, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels.save(tmp_path / "images" / "ä.jpg", exif=exif)
    Image.new("L", (5, 4)).save(tmp_path / "images" / "b.png")
    (tmp_path / "images" / "notes.md").write_text("not an image")
    first, second = sorted(
        read_yolo(tmp_path, tmp_path / "images"),
        key=lambda one: -len(one["annotations"]),
    )
    np.testing.assert_array_equal(masks_of(first)[0], TWO_RINGS)
    assert second["image"]["file_name"] == "b.png"
    assert (second["image"]["height"], second["image"]["width"]) == (4, 5)
    assert second["annotations"] == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_out_of_the_folder_are_neither_written_nor_read(tmp_path, name):
    one = record([TWO_RINGS])
    one["image"]["file_name"] = name
    with pytest.raises(ValueError, match="file name"):
        write_yolo(tmp_path, [one])
    assert list(tmp_path.rglob("*.*")) == []
    with pytest.raises(ValueError, match="file name"):
        list(read_yolo(tmp_path, {name: (12, 20)}))


def test_images_that_share_their_labels_are_refused(tmp_path):
    records = [record([], file_name="a.jpg"), record([], file_name="a.png")]
    with pytest.raises(ValueError, match="second image named a"):
        write_yolo(tmp_path, records)
    with pytest.raises(ValueError, match=r"'a\.jpg' and 'a\.png'"):
        list(read_yolo(tmp_path, sizes(records)))


def test_labels_without_an_image_are_reported(tmp_path):
    write_yolo(tmp_path, [record([], file_name="a.jpg"), record([], file_name="b.jpg")])
    with pytest.raises(ValueError, match=r"b\.txt: got labels without an image"):
        list(read_yolo(tmp_path, {"a.jpg": (2, 3)}))


@pytest.mark.parametrize(
    "line",
    [
        b"0",
        b"0 0.5 0.5 0.2 0.2",
        b"0 0 0 1 0 1",
        b"0 0 0 1 0 1 1 0",
        b"x 0 0 1 0 1 1",
        b"-1 0 0 1 0 1 1",
        b"0 0 0 1 0 1 nan",
        b"0 0 0 1 0 1 inf",
        b"0 0 0 12 0 12 8",
        b"0 0 0 1 0 1 \xff",
    ],
)
def test_a_line_that_is_no_polygon_is_reported_and_the_rest_is_read(tmp_path, line):
    (tmp_path / "labels").mkdir()
    content = b"\n3 0 0 1 0 1 1\r\n" + line + b"\n0 0 0 1 0 1 1"
    (tmp_path / "labels" / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt, line 3: got .*, expected"):
        list(read_yolo(tmp_path, {"a.jpg": (8, 12)}))
    problems: list[ValueError] = []
    (back,) = read_yolo(tmp_path, {"a.jpg": (8, 12)}, problems=problems.append)
    assert [one["id"] for one in back["annotations"]] == [1, 2]
    assert len(problems) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"3 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75",
        b"\xef\xbb\xbf3 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75",
        b"3.0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75",
        b"3.000000e+00 2.5e-01 0.25 0.75 0.25 0.75 0.75 0.25 0.75 ",
        b"3\t0.25  0.25 0.75 0.25 0.75 0.75 0.25 0.75\r",
    ],
)
def test_lines_with_numbers_in_any_float_format_are_read(tmp_path, line):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_bytes(line + b"\n")
    (back,) = read_yolo(tmp_path, {"a.jpg": (4, 8)})
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2:6] = True
    np.testing.assert_array_equal(masks_of(back), [mask])


def test_an_image_that_cannot_be_read_is_reported(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"no image")
    Image.new("L", (5, 4)).save(tmp_path / "images" / "b.png")
    with pytest.raises(ValueError, match=r"a\.jpg: its size cannot be read"):
        list(read_yolo(tmp_path, tmp_path / "images"))
    problems: list[ValueError] = []
    (back,) = read_yolo(tmp_path, tmp_path / "images", problems=problems.append)
    assert back["image"]["image_id"] == 2
    assert len(problems) == 1
