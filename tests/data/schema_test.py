"""Records survive JSON, and invalid ones are refused with all problems."""

import copy
import json

import numpy as np
import pytest

from samjax.data.schema import (
    Annotation,
    ImageInfo,
    Record,
    record_from_json,
    record_to_json,
)
from samjax.geometry.masks import decode_rle, encode_rle


@pytest.fixture
def record() -> Record:
    mask = np.zeros((6, 9), bool)
    mask[2:5, 3:7] = True
    annotation = Annotation(
        bbox=[3.0, 2.0, 3.0, 2.0],
        area=12,
        segmentation=encode_rle(mask),
        predicted_iou=0.93,
        point_coords=[[4.5, 3.25]],
        crop_box=[0.0, 0.0, 9.0, 6.0],
        id=532,
        stability_score=0.97,
    )
    image = ImageInfo(image_id=7, width=9, height=6, file_name="sa_7.jpg")
    return {"image": image, "annotations": [annotation]}


def test_a_record_survives_a_round_trip_through_json(record):
    assert record_from_json(record_to_json(record)) == record
    assert record_from_json(record_to_json(record).encode()) == record


def test_fields_are_in_the_order_of_sa_1b(record):
    order = list(json.loads(record_to_json(record))["annotations"][0])
    ours = {"parent", "depth", "agreement", "text", "text_score"}
    assert order == [name for name in Annotation.__annotations__ if name not in ours]
    assert order[:3] == ["bbox", "area", "segmentation"]


def test_the_mask_of_a_record_decodes(record):
    back = record_from_json(record_to_json(record))["annotations"][0]
    assert decode_rle(back["segmentation"]).sum() == back["area"]


def test_fields_of_other_writers_are_kept(record):
    text = json.dumps({**record, "model": "tiny"})
    assert dict(record_from_json(text))["model"] == "tiny"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bbox", [1, 2, 3]),
        ("area", 1.5),
        ("area", True),
        ("segmentation", {"size": [6, 9], "counts": [1, 2]}),
        ("segmentation", {"size": [6.5, 9], "counts": "0"}),
        ("predicted_iou", float("nan")),
        ("point_coords", [[1, 2, 3]]),
        ("crop_box", None),
        ("id", "12"),
        ("stability_score", float("inf")),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(record, field, value):
    record["annotations"][0][field] = value
    with pytest.raises(ValueError, match=rf"annotations\[0\]\.{field}: expected"):
        record_from_json(json.dumps(record))


def test_all_missing_fields_are_listed_at_once(record):
    broken = copy.deepcopy(record)
    del broken["image"]["width"], broken["annotations"][0]["area"]
    with pytest.raises(ValueError, match=r"image\.width.*annotations\[0\]\.area"):
        record_from_json(json.dumps(broken))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"image": 1}', "[" * 100_000])
def test_a_file_that_is_not_a_record_is_a_value_error(text):
    with pytest.raises(ValueError, match="record"):
        record_from_json(text)


def test_numbers_that_json_cannot_represent_are_not_written(record):
    record["annotations"][0]["predicted_iou"] = float("nan")
    with pytest.raises(ValueError):
        record_to_json(record)
