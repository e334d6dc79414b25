"""Written COCO files load in pycocotools, and files of other tools are read."""

import contextlib
import io
import json
import weakref

import numpy as np
import pytest
from data.formats.small_records import HOSTILE_NAMES, masks_of, record, record_lists
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from samjax.data.formats.coco import read_coco, write_coco
from samjax.geometry.masks import decode_rle, encode_rle, mask_to_counts

# pycocotools' own arrays, under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

FORMS = ["rle", "polygons"]
DISC = np.hypot(*(np.mgrid[:20, :30] - np.array([9, 14]).reshape(2, 1, 1))) < 7


@pytest.fixture
def path(tmp_path):
    return tmp_path / "masks.json"


def load(path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(records=record_lists())
def test_records_survive_a_round_trip(tmp_path_factory, form, records):
    path = tmp_path_factory.mktemp("coco") / "masks.json"
    write_coco(path, iter(records), segmentation=form)
    assert list(read_coco(path)) == records


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(records=record_lists())
def test_pycocotools_loads_the_same_masks(tmp_path_factory, form, records):
    path = tmp_path_factory.mktemp("coco") / "masks.json"
    write_coco(path, records, segmentation=form)
    coco = load(path)
    assert sorted(coco.imgs) == [one["image"]["image_id"] for one in records]
    for one in records:
        loaded = coco.loadAnns(coco.getAnnIds(one["image"]["image_id"]))
        assert len(loaded) == len(one["annotations"])
        for entry, mask in zip(loaded, masks_of(one), strict=True):
            np.testing.assert_array_equal(coco.annToMask(entry), mask)
            coded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert entry["area"] == coco_mask.area(coded)
            assert entry["bbox"] == coco_mask.toBbox(coded).tolist()
            assert entry["iscrowd"] == 0
            assert coco.loadCats(entry["category_id"])[0]["name"] == "object"


@pytest.mark.parametrize("form", FORMS)
def test_equal_records_give_equal_bytes(tmp_path, form):
    records = [record([DISC, ~DISC], image_id=3), record([], image_id=1)]
    for name in ("a", "b"):
        write_coco(tmp_path / name, records, segmentation=form)
    write_coco(tmp_path / "c", read_coco(tmp_path / "a"), segmentation=form)
    first = (tmp_path / "a").read_bytes()
    assert first == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_annotations_are_numbered_through_all_images(path):
    records = [record([DISC, DISC], image_id=i, first_id=0) for i in (1, 2)]
    write_coco(path, records)
    assert [one["id"] for back in read_coco(path) for one in back["annotations"]] == [
        1,
        2,
        3,
        4,
    ]


def test_parents_are_renumbered_with_their_annotations(path):
    records = [record([DISC, DISC], image_id=i, first_id=10**6 * i) for i in (1, 2)]
    for one in records:
        whole, part = one["annotations"]
        whole |= {"parent": None, "depth": 0}
        part |= {"parent": whole["id"], "depth": 1}
    write_coco(path, records)
    assert [
        (one["id"], one.get("parent", "none"), one.get("depth"))
        for back in read_coco(path)
        for one in back["annotations"]
    ] == [(1, None, 0), (2, 1, 1), (3, None, 0), (4, 3, 1)]
    del records[1]["annotations"][0]
    with pytest.raises(ValueError, match="got the parent 2000000"):
        write_coco(path, records)


def test_simplified_polygons_are_shorter_and_close(path):
    write_coco(path, [record([DISC])], segmentation="polygons")
    exact = path.stat().st_size
    write_coco(path, [record([DISC])], segmentation="polygons", tolerance=1.0)
    assert path.stat().st_size < exact
    (mask,) = masks_of(next(iter(read_coco(path))))
    assert (mask & DISC).sum() / (mask | DISC).sum() > 0.9


def test_only_one_record_is_held_at_a_time(path):
    class Traced(dict):
        """A record that supports weak references."""

    held: list[weakref.ref] = []

    def records():
        for image_id in range(5):
            assert sum(one() is not None for one in held) <= 1
            traced = Traced(record([DISC], image_id=image_id))
            held.append(weakref.ref(traced))
            yield traced

    write_coco(path, records(), segmentation="polygons")
    assert len(held) == 5


def test_a_failed_file_leaves_nothing(path):
    def records():
        yield record([DISC])
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_coco(path, records())
    assert list(path.parent.iterdir()) == []


# Where a file lay on another machine, which its last part is clear of.
ELSEWHERE = {
    "../../x.jpg": "x.jpg",
    "/etc/x.jpg": "x.jpg",
    "a/../x.jpg": "x.jpg",
    "a\\x.jpg": "a/x.jpg",
    "C:x.jpg": "x.jpg",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_out_of_the_folder_are_neither_written_nor_followed(path, name):
    one = record([DISC])
    one["image"]["file_name"] = name
    with pytest.raises(ValueError, match="file name"):
        write_coco(path, [one])
    path.write_text(json.dumps(foreign(file_name=name)))
    if name in ELSEWHERE:
        (back,) = read_coco(path)
        assert back["image"]["file_name"] == ELSEWHERE[name]
        return
    with pytest.raises(ValueError, match="image 9: got the file name"):
        list(read_coco(path))


def test_folders_below_and_letters_of_all_kinds_stay_in_names(path):
    for name in ("train/a b.jpg", "写真/ä.png"):
        write_coco(path, [record([], file_name=name)])
        assert next(iter(read_coco(path)))["image"]["file_name"] == name


def test_two_images_with_the_same_id_are_refused(path):
    with pytest.raises(ValueError, match="second image with image_id 1"):
        write_coco(path, [record([]), record([])])


def foreign(*annotations: dict, **image) -> dict:
    """A file of another writer, with one image of 20 x 30."""
    image = {"id": 9, "height": 20, "width": 30, "file_name": "a.jpg", **image}
    return {
        "info": {"year": 2017},
        "images": [image],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [
            {"id": 70 + i, "image_id": 9, "category_id": 18, **annotation}
            for i, annotation in enumerate(annotations)
        ],
    }


def test_polygons_of_other_tools_are_filled_as_in_pycocotools(path, rng):
    rings = [rng.uniform(-3, 33, (12, 2)).round(2).ravel().tolist() for _ in range(3)]
    path.write_text(
        json.dumps(
            foreign(
                {"segmentation": rings[:1], "bbox": [1.5, 2.25, 3, 4], "area": 7.5},
                {"segmentation": rings[1:]},
            )
        )
    )
    (back,) = read_coco(path)
    coco = load(path)
    for one, mask in zip(back["annotations"], masks_of(back), strict=True):
        expected = coco.annToMask(coco.anns[one["id"]]).astype(bool)
        np.testing.assert_array_equal(mask, expected)
        assert one == record([expected], first_id=one["id"])["annotations"][0] | {
            "predicted_iou": 1.0,
            "stability_score": 1.0,
            "point_coords": [],
            "crop_box": [0.0, 0.0, 30.0, 20.0],
        }


def test_lists_of_run_lengths_are_read_with_runs_of_no_length(path):
    counts = mask_to_counts(DISC).tolist()
    padded = [*counts[:3], 0, 0, *counts[3:]]
    annotations = [
        {"segmentation": {"size": [20, 30], "counts": runs}}
        for runs in (counts, padded)
    ]
    path.write_text(json.dumps(foreign(*annotations)))
    (back,) = read_coco(path)
    for mask in masks_of(back):
        np.testing.assert_array_equal(mask, DISC)


def test_crowds_are_left_out_by_default(path):
    rle = encode_rle(DISC)
    path.write_text(
        json.dumps(foreign({"segmentation": rle, "iscrowd": 1}, {"segmentation": rle}))
    )
    ids = [
        [one["id"] for one in next(iter(read_coco(path, crowds=crowds)))["annotations"]]
        for crowds in (False, True)
    ]
    assert ids == [[71], [70, 71]]


def test_annotations_flagged_ignore_or_box_only_are_not_problems(path):
    rle = encode_rle(DISC)
    path.write_text(
        json.dumps(
            foreign(
                {"segmentation": rle, "ignore": 1},
                {"bbox": [1, 2, 3, 4], "box_only": True},
                {"segmentation": rle},
            )
        )
    )
    (record,) = read_coco(path)
    assert [one["id"] for one in record["annotations"]] == [72]


def test_images_of_excluded_licences_go_with_their_annotations(path):
    content = foreign({"segmentation": encode_rle(DISC)}, license=5)
    path.write_text(json.dumps(content))
    assert list(read_coco(path, exclude_licences=("5", "CC BY-SA"))) == []
    assert len(list(read_coco(path, exclude_licences=("4",)))) == 1


def test_licences_fields_of_images_and_agreement_are_kept(path):
    records = [record([DISC, DISC], image_id=3), record([], image_id=4)]
    first, _ = records[0]["annotations"]
    first["agreement"] = 0.875
    licences = [{"id": 4, "name": "Attribution", "url": "http://example.org"}]
    fields = {3: {"license": 4, "id": 9, "file_name": "other"}, 5: {"license": 1}}
    write_coco(path, records, licences=licences, image_fields=fields)
    content = json.loads(path.read_text())
    assert content["licenses"] == licences
    # The record's own fields stay what they are.
    assert content["images"][0]["license"] == 4 and content["images"][0]["id"] == 3
    assert "license" not in content["images"][1]
    assert list(read_coco(path)) == records
    assert len(list(read_coco(path, exclude_licences=("Attribution",)))) == 1


def test_names_in_lvis_are_taken_from_the_url(path):
    content = foreign(coco_url="http://images.cocodataset.org/val2017/000000397133.jpg")
    del content["images"][0]["file_name"]
    path.write_text(json.dumps(content))
    (back,) = read_coco(path)
    assert back["image"]["file_name"] == "000000397133.jpg"


def test_a_file_without_annotations_has_images_without_masks(path):
    content = foreign()
    del content["annotations"]
    path.write_text(json.dumps(content))
    assert [len(one["annotations"]) for one in read_coco(path)] == [0]


DAMAGED = [
    {},
    {"segmentation": []},
    {"segmentation": None},
    {"segmentation": "text"},
    {"segmentation": [[0, 0, 5, 5]]},
    {"segmentation": [[0, 0, 5, 5, 7]]},
    {"segmentation": [[0, 0, 5, 5, 7, float("nan")]]},
    {"segmentation": [[0, 0, 5, 5, 7, 1e300]]},
    {"segmentation": [[0, 0, 5, 5, 7, 10**400]]},
    {"segmentation": {"size": [30, 20], "counts": [600]}},
    {"segmentation": {"size": [20, 30]}},
    {"segmentation": {"size": [20, 30], "counts": []}},
    {"segmentation": {"size": [20, 30], "counts": [599]}},
    {"segmentation": {"size": [20, 30], "counts": [-1, 601]}},
    {"segmentation": {"size": [20, 30], "counts": [10**30]}},
    {"segmentation": {"size": [20, 30], "counts": [599.5, 0.5]}},
    {"segmentation": {"size": [20, 30], "counts": [True, 599]}},
    {"segmentation": [[0, 0, 5, 5, 7, "eight"]]},
    {"segmentation": [[0, 0, 5, 5, 7, None]]},
    {"segmentation": [[0, 0, 5, 5, 7, "nan"]]},
    {"segmentation": [[[0, 0], [5, 5], 7]]},
    {"segmentation": [{"counts": [600]}, [0, 0, 5, 5, 7, 8]]},
    {"segmentation": [[0, 0], [5, 5]]},
    {"segmentation": {"size": [20, 30], "counts": "zzz"}},
    {"segmentation": {"size": [20, 30], "counts": "é"}},
    {"segmentation": encode_rle(DISC), "predicted_iou": "high"},
    {"segmentation": encode_rle(DISC), "stability_score": float("inf")},
    {"segmentation": encode_rle(DISC), "crop_box": [1, 2, 3]},
    {"segmentation": encode_rle(DISC), "point_coords": [1, 2]},
    {"segmentation": encode_rle(DISC), "parent": "1"},
    {"segmentation": encode_rle(DISC), "depth": 0.5},
    {"segmentation": encode_rle(DISC), "id": 71},
    {"segmentation": encode_rle(DISC), "id": [70]},
    {"segmentation": encode_rle(DISC), "id": True},
    {"segmentation": encode_rle(DISC), "image_id": 8},
    {"segmentation": encode_rle(DISC), "image_id": "8"},
    {"segmentation": encode_rle(DISC), "image_id": True},
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_annotation_is_reported_and_the_rest_is_read(path, damage):
    good = {"segmentation": encode_rle(DISC)}
    content = foreign(damage, good)
    # Where two have one number, the second is the one too many.
    content["annotations"] = content["annotations"][::-1]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"masks\.json: .*expected"):
        list(read_coco(path))
    problems: list[ValueError] = []
    (back,) = read_coco(path, problems=problems.append)
    assert [one["id"] for one in back["annotations"]] == [71]
    assert len(problems) == 1


@pytest.mark.parametrize(
    "image",
    [
        {"height": 0},
        {"height": -20},
        {"width": 30.5},
        {"width": 1 << 40},
        {"width": 1e300},
        {"width": True},
        {"id": None},
        {"id": True},
        {"id": float("nan")},
    ],
)
def test_a_damaged_image_is_reported(path, image):
    path.write_text(json.dumps(foreign(**image)))
    with pytest.raises(ValueError, match=r"masks\.json: .*expected"):
        list(read_coco(path))
    problems: list[ValueError] = []
    assert list(read_coco(path, problems=problems.append)) == []
    assert len(problems) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"images": 1}', "[" * 100_000, "\xff"]
)
def test_a_file_that_is_not_coco_is_a_value_error(path, text):
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"masks\.json"):
        list(read_coco(path))


@settings(max_examples=50)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_flipped_byte_gives_a_value_error_or_sound_records(
    tmp_path_factory, place, byte
):
    path = tmp_path_factory.mktemp("coco") / "masks.json"
    write_coco(path, [record([DISC])], segmentation="polygons")
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        for one in read_coco(path):
            for annotation in one["annotations"]:
                assert (
                    decode_rle(annotation["segmentation"]).sum() == annotation["area"]
                )
