"""COCO files in all variants that pycocotools, mmdetection and detectron2 read."""

import json

import numpy as np
import pytest
from data.formats.small_records import masks_of

from samjax.data.formats.coco import read_coco
from samjax.geometry.masks import encode_rle, mask_to_counts

SIZE = (20, 30)
SQUARE = np.zeros(SIZE, bool)
SQUARE[2:8, 4:10] = True
OTHER = np.zeros(SIZE, bool)
OTHER[10:15, 12:20] = True
RING = [4, 2, 10, 2, 10, 8, 4, 8]
OTHER_RING = [12, 10, 20, 10, 20, 15, 12, 15]
COUNTS = mask_to_counts(SQUARE).tolist()


def file_of(path, images, annotations):
    """Writes a file; missing fields of entries get defaults."""
    images = [
        {"id": n, "height": 20, "width": 30, "file_name": f"{n}.jpg"} | image
        for n, image in enumerate(images)
    ]
    annotations = [
        {"id": n, "image_id": 0, "category_id": 1, "segmentation": [RING]} | one
        for n, one in enumerate(annotations)
    ]
    for entry in [*images, *annotations]:
        for name in [name for name, value in entry.items() if value is ...]:
            del entry[name]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "masks.json"


SAME_MASK = {
    "polygon": [RING],
    "polygon of floats": [[float(part) for part in RING]],
    "polygon as text": [[str(part) for part in RING]],
    "polygon that is closed": [[*RING, *RING[:2]]],
    "flat, as VIA writes it": RING,
    "pairs": [[4, 2], [10, 2], [10, 8], [4, 8]],
    "rings of pairs": [[[4, 2], [10, 2], [10, 8], [4, 8]]],
    "two halves": [[4, 2, 7, 2, 7, 8, 4, 8], [7, 2, 10, 2, 10, 8, 7, 8]],
    "beside a line and a point": [RING, [1, 1, 9, 9], [5, 5], []],
    "counts": {"size": [20, 30], "counts": COUNTS},
    "counts of floats": {"size": [20, 30], "counts": [float(run) for run in COUNTS]},
    "size of floats": {"size": [20.0, 30.0], "counts": COUNTS},
    "no size": {"counts": COUNTS},
    "compressed": encode_rle(SQUARE),
    "compressed, size of floats": encode_rle(SQUARE) | {"size": [20.0, 30.0]},
    "run lengths in a list": [{"size": [20, 30], "counts": COUNTS}],
}


@pytest.mark.parametrize("form", SAME_MASK)
def test_a_mask_is_the_same_in_every_form(path, form):
    (record,) = read_coco(file_of(path, [{}], [{"segmentation": SAME_MASK[form]}]))
    np.testing.assert_array_equal(masks_of(record), [SQUARE])


def test_run_lengths_in_a_list_are_united(path):
    parts = [encode_rle(SQUARE), {"counts": mask_to_counts(OTHER).tolist()}]
    (record,) = read_coco(file_of(path, [{}], [{"segmentation": parts}]))
    np.testing.assert_array_equal(masks_of(record), [SQUARE | OTHER])


def test_coordinates_outside_the_image_are_clipped(path):
    ring = [-40.5, -3, 8, -3, 8, 7, -40.5, 7]
    (record,) = read_coco(file_of(path, [{}], [{"segmentation": [ring]}]))
    expected = np.zeros(SIZE, bool)
    expected[:7, :8] = True
    np.testing.assert_array_equal(masks_of(record), [expected])


# Ids of two images, and of the images that two annotations name.
IDS = {
    "integers": ([3, 5], [3, 5]),
    "from nought": ([0, 1], [0, 1]),
    "negative": ([-1, 1], [-1, 1]),
    "whole floats": ([0.0, 1.0], [0.0, 1.0]),
    "floats here only": ([0, 1], [0.0, 1.0]),
    "other floats": ([0.25, 0.5], [0.25, 0.5]),
    "text": (["a", "b"], ["a", "b"]),
    "text of digits": (["000001", "000002"], ["000001", "000002"]),
    "text of digits here only": ([1, 2], ["1", "2"]),
    "text of digits there only": (["000001", "2"], [1, 2]),
    "a number and its text": ([1, "1"], [1, "1"]),
    "numbers that text would be given": (["a", 1], ["a", 1]),
    "beyond 64 bits": ([1 << 70, 2], [1 << 70, 2]),
    "UUIDs": (["7f3a-0", "7f3a-1"], ["7f3a-0", "7f3a-1"]),
}


@pytest.mark.parametrize("case", IDS)
def test_masks_are_assigned_to_the_image_of_their_id(path, case):
    images, of_images = IDS[case]
    rings = ([RING], [OTHER_RING])
    file_of(
        path,
        [{"id": own, "file_name": f"{n}.jpg"} for n, own in enumerate(images)],
        [
            {"image_id": own, "segmentation": ring}
            for own, ring in zip(of_images, rings, strict=True)
        ],
    )
    first, second = read_coco(path)
    assert first["image"]["file_name"] == "0.jpg"
    assert first["image"]["image_id"] != second["image"]["image_id"]
    np.testing.assert_array_equal(masks_of(first), [SQUARE])
    np.testing.assert_array_equal(masks_of(second), [OTHER])


@pytest.mark.parametrize("of_image", [1, "1", 1.0, 2, "b", None, ..., [0], True])
def test_an_annotation_of_an_unknown_image_is_left_out(path, of_image):
    # The image "a" gets a number, which is no id of the file's.
    file_of(path, [{"id": "a"}], [{"image_id": of_image}])
    problems = []
    (record,) = read_coco(path, problems=problems.append)
    assert record["annotations"] == [] and len(problems) == 1


OWN_IDS = {
    "missing": [..., ...],
    "null": [None, None],
    "repeated": [1, 1],
    "repeated text": ["1", "1"],
    "text and number": ["1", 1],
    "missing beside a number": [1, ...],
    "floats": [1.0, 2.0],
    "text": ["a", "b"],
}


@pytest.mark.parametrize("ids", OWN_IDS.values(), ids=OWN_IDS)
@pytest.mark.parametrize("images", [[0, 0], [0, 1]])
def test_annotations_are_kept_whatever_their_ids_are(path, ids, images):
    file_of(
        path,
        [{}, {}],
        [
            {"id": own, "image_id": image, "segmentation": [ring]}
            for own, image, ring in zip(ids, images, [RING, OTHER_RING], strict=True)
        ],
    )
    found = [(masks_of(record), record) for record in read_coco(path)]
    masks = [mask for own, _ in found for mask in own]
    np.testing.assert_array_equal(masks, [SQUARE, OTHER])
    numbers = [one["id"] for _, record in found for one in record["annotations"]]
    assert len(set(numbers)) == 2 and all(type(number) is int for number in numbers)


def test_a_repeated_annotation_is_used_once(path):
    problems = []
    file_of(path, [{}], [{"id": 4}, {"id": 4}])
    (record,) = read_coco(path, problems=problems.append)
    assert len(record["annotations"]) == 1 and "second time" in str(problems[0])


@pytest.mark.parametrize("size", [(20.0, 30.0), ("20", "30")])
def test_sizes_may_be_floats_and_text(path, size):
    (record,) = read_coco(file_of(path, [{"height": size[0], "width": size[1]}], [{}]))
    np.testing.assert_array_equal(masks_of(record), [SQUARE])


@pytest.mark.parametrize("nothing", [..., None, 0, 0.0])
def test_a_missing_size_is_that_of_its_masks_or_looked_up(path, nothing):
    image = {"height": nothing, "width": nothing}
    file_of(path, [image], [{}, {"segmentation": encode_rle(OTHER)}])
    (record,) = read_coco(path)
    np.testing.assert_array_equal(masks_of(record), [SQUARE, OTHER])
    file_of(path, [image], [{}])
    asked = []
    (record,) = read_coco(path, size_of=lambda name: asked.append(name) or SIZE)
    np.testing.assert_array_equal(masks_of(record), [SQUARE])
    assert asked == ["0.jpg"]
    with pytest.raises(ValueError, match="got height None"):
        list(read_coco(path))


NAMES = {
    "train/a.jpg": "train/a.jpg",
    "./a.jpg": "a.jpg",
    "train//a.jpg": "train/a.jpg",
    "train\\a.jpg": "train/a.jpg",
    ".\\train\\a.jpg": "train/a.jpg",
    "C:\\data\\train\\a.jpg": "a.jpg",
    "\\\\server\\data\\a.jpg": "a.jpg",
    "/data/train/a.jpg": "a.jpg",
    "../images/a.jpg": "a.jpg",
    "..\\..\\media\\upload\\1\\a.jpg": "a.jpg",
    "https://example.org/b/a.jpg?v=3#top": "a.jpg",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_relative_to_the_folder_of_images(path, name):
    (record,) = read_coco(file_of(path, [{"file_name": name}], [{}]))
    assert record["image"]["file_name"] == NAMES[name]


def test_names_that_differ_only_outside_the_folder_are_kept_apart(path):
    problems = []
    images = [{"file_name": name} for name in ("/a/1.jpg", "/b/1.jpg", "c/1.jpg")]
    records = list(read_coco(file_of(path, images, []), problems=problems.append))
    assert [record["image"]["file_name"] for record in records] == ["c/1.jpg"]
    assert len(problems) == 2 and all("/1.jpg" in str(one) for one in problems)


FLAGS = {
    True: [1, 1.0, True, "1", "true", 2],
    False: [0, 0.0, False, None, "0", "false", "", ...],
}


@pytest.mark.parametrize(
    ("value", "is_set"),
    [(value, is_set) for is_set, own in FLAGS.items() for value in own],
)
@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_flags_are_understood_in_every_form(path, flag, value, is_set):
    notes = []
    file_of(path, [{}], [{}, {flag: value}])
    (record,) = read_coco(path, notes=notes.append)
    assert len(record["annotations"]) == 2 - is_set
    assert len(notes) == is_set and all(note.startswith("1 of 2") for note in notes)


@pytest.mark.parametrize(
    ("brushed", "crowds", "kept"),
    [
        ([1, 1, 1], None, 3),
        ([1, 1, 1], False, 0),
        ([0, 1, 0], None, 2),
        ([0, 1, 0], True, 3),
        ([0, 0, 0], None, 3),
    ],
)
def test_masks_with_iscrowd_are_objects_if_there_are_no_others(
    path, brushed, crowds, kept
):
    forms = [[RING], encode_rle(SQUARE)]
    notes = []
    file_of(
        path, [{}], [{"iscrowd": one, "segmentation": forms[one]} for one in brushed]
    )
    (record,) = read_coco(path, crowds=crowds, notes=notes.append)
    assert len(record["annotations"]) == kept
    # Nothing is left out, or taken for what it may not be, without a word.
    says = sum(brushed) > 0 and not crowds
    assert len(notes) == says and all("iscrowd" in note for note in notes)


def test_annotations_that_are_not_objects_are_counted(path):
    notes = []
    boxes = [{"segmentation": ..., "box_only": True}] * 3
    file_of(path, [{}], [{}, {"ignore": 1}, *boxes, {"segmentation": [RING, [1, 2]]}])
    (record,) = read_coco(path, notes=notes.append)
    assert len(record["annotations"]) == 2
    assert notes[0].startswith("1 of 6 annotations are flagged ignore")
    assert notes[1].startswith("3 of 6 annotations are flagged as boxes")
    assert "1 of its polygons have no three corners" in notes[2]


@pytest.mark.parametrize("number", [5, 5.0, "5"])
def test_a_licence_is_found_whatever_the_type_of_its_id(path, number):
    file_of(path, [{"license": number}], [])
    content = json.loads(path.read_text())
    content["licenses"] = [{"id": 5, "name": "CC BY-SA"}]
    path.write_text(json.dumps(content))
    assert list(read_coco(path, exclude_licences=("CC BY-SA",))) == []
