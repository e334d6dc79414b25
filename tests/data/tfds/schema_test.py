"""Records survive TFDS's features, which are those of the published builder."""

import copy

import numpy as np
import pytest
from data.tfds.small_tars import SIZE, jpeg, record

from samjax.data.schema import record_from_json, record_to_json
from samjax.data.tfds.example_proto import read_example, write_example
from samjax.data.tfds.schema import (
    read_stored,
    tfds_features,
    why_not_stored,
    write_stored,
)


def test_a_record_in_the_style_of_sa_1b_is_restored_exactly():
    image, written = jpeg(1), record(1, masks=5)
    stored = read_stored(write_stored(image, written))
    assert stored.image == image
    assert stored.record == written
    assert record_from_json(record_to_json(stored.record)) == written


def test_a_record_without_masks_is_restored():
    written = record(7, masks=0)
    assert read_stored(write_stored(b"", written)).record == written


def test_boxes_are_restored_to_a_thousandth_of_a_pixel(rng):
    size = (1500, 2250)
    written = record(3, masks=200, size=size)
    for one in written["annotations"]:
        corners = np.sort(rng.uniform(0, 1, (2, 2)), axis=0) * size[::-1]
        one["bbox"] = [*corners[0].tolist(), *(corners[1] - corners[0]).tolist()]
    read = read_stored(write_stored(b"", written)).record
    for got, expected in zip(read["annotations"], written["annotations"], strict=True):
        np.testing.assert_allclose(got["bbox"], expected["bbox"], atol=1e-3)


def test_boxes_of_whole_numbers_are_restored_exactly(rng):
    size = (1500, 2250)
    written = record(3, masks=500, size=size)
    for one in written["annotations"]:
        corners = np.sort(rng.integers(0, size[::-1], (2, 2), endpoint=True), axis=0)
        box = np.concatenate([corners[0], corners[1] - corners[0]])
        one["bbox"] = box.astype(float).tolist()
    assert read_stored(write_stored(b"", written)).record == written


def test_a_mask_without_a_point_is_restored_without_one():
    written = record(2, masks=2)
    written["annotations"][0]["point_coords"] = []
    assert read_stored(write_stored(b"", written)).record == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": [-1.0, 0.0, 5.0, 5.0]}, "bbox"),
        ({"bbox": [70.0, 0.0, 3.0, 5.0]}, "leaves the image"),
        ({"crop_box": [0.0, 0.0, 72.0, 49.0]}, "crop_box"),
        ({"bbox": [5.0, 5.0, -1.0, 5.0]}, "bbox"),
        ({"id": -1}, "id -1"),
        ({"area": 1 << 63}, "area"),
        ({"point_coords": [[1.0, 2.0], [3.0, 4.0]]}, "2 points"),
        ({"segmentation": {"size": [72, 48], "counts": "0"}}, "size"),
    ],
)
def test_annotations_that_the_features_cannot_represent_have_a_reason(change, said):
    annotation = record(1)["annotations"][0]
    assert why_not_stored(annotation, SIZE[1], SIZE[0]) is None
    assert said in why_not_stored(annotation | change, SIZE[1], SIZE[0])


def damaged(name: str, values) -> bytes:
    features = dict(read_example(write_stored(b"x", record(1))).items())
    kinds = {
        key: feature.WhichOneof("kind").removesuffix("_list")
        for key, feature in features.items()
    }
    content = {
        key: (kind, list(getattr(features[key], f"{kind}_list").value))
        for key, kind in kinds.items()
    }
    if values is None:
        del content[name]
    else:
        content[name] = (kinds[name], values)
    return write_example(content)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("image/height", None, "no feature 'image/height'"),
        ("image/height", [1, 2], "got 2 values of image/height"),
        ("annotations/bbox", [0.0] * 11, "got 11 values of annotations/bbox"),
        ("annotations/area", [], "expected 3 for 3"),
        ("image/file_name", [b"\xff.jpg"], "utf-8"),
    ],
)
def test_an_example_that_does_not_fit_together_is_refused(name, values, said):
    with pytest.raises(ValueError, match=said):
        read_stored(damaged(name, values))


def test_the_features_are_those_of_the_published_builder():
    builder = pytest.importorskip(
        "tensorflow_datasets.datasets.segment_anything.segment_anything_dataset_builder"
    )
    theirs = published_features(builder)
    ours = tfds_features()
    assert without_docs(ours.to_json()) == without_docs(theirs.to_json())


def published_features(builder):
    """The features that the published builder declares, without its folder of data."""

    class Declared(Exception):
        pass

    class Stand:
        def dataset_info_from_configs(self, *, features, **_):
            self.features = features
            raise Declared

    stand = Stand()
    with pytest.raises(Declared):
        builder.Builder._info(stand)
    return stand.features


def without_docs(content):
    """A description of features without its documentation strings."""
    if isinstance(content, dict):
        return {
            key: without_docs(value)
            for key, value in content.items()
            if key not in ("description", "doc")
        }
    return content


def test_the_bytes_are_those_of_tfdss_serializer_except_for_the_order():
    tfds = pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.core.example_serializer import ExampleSerializer  # pyright: ignore[reportMissingImports]

    written = record(4, masks=3)
    image = jpeg(4)
    features = tfds_features()
    example = features.encode_example(
        {
            "image": dict(written["image"], content=image),
            "annotations": [
                theirs(one) for one in copy.deepcopy(written["annotations"])
            ],
        }
    )
    message = ExampleSerializer(features.get_serialized_info()).get_tf_example(example)
    assert message.SerializeToString(deterministic=True) == write_stored(image, written)
    assert tfds.__version__


def theirs(annotation):
    """An annotation in the form that the published builder passes to TFDS."""
    for name in ("bbox", "crop_box"):
        left, top, width, height = annotation[name]
        annotation[name] = np.array(
            [
                top / SIZE[0],
                left / SIZE[1],
                (top + height) / SIZE[0],
                (left + width) / SIZE[1],
            ]
        )
    return annotation
