"""Prompts check themselves, and say everything that is wrong at once."""

import ml_dtypes
import numpy as np
import pytest

from samjax.inference.prompts import Prompt


def test_lists_become_read_only_arrays():
    given = np.array([[3.0, 4.0]])
    prompt = Prompt(points=given, labels=[1], box=[1, 2, 3, 4])
    given[0, 0] = 99
    np.testing.assert_array_equal(prompt.points, [[3, 4]])
    np.testing.assert_array_equal(prompt.labels, [1])
    np.testing.assert_array_equal(prompt.box, [1, 2, 3, 4])
    assert prompt.mask is None and prompt.text is None
    with pytest.raises(ValueError, match="read-only"):
        prompt.points[0, 0] = 0
    with pytest.raises(AttributeError):
        setattr(prompt, "points", given)  # noqa: B010


def test_points_without_labels_are_foreground():
    np.testing.assert_array_equal(Prompt(points=[[1, 2], [3, 4]]).labels, [1, 1])


@pytest.mark.parametrize("points", [None, [], np.zeros((0, 2))])
@pytest.mark.parametrize("labels", [None, []])
def test_no_points_may_be_said_in_several_ways(points, labels):
    prompt = Prompt(points=points, labels=labels)
    assert prompt.points.shape == (0, 2) and prompt.labels.shape == (0,)


def test_points_may_lie_outside_the_image():
    prompt = Prompt(points=[[-50, 1e6]])
    np.testing.assert_array_equal(prompt.points, [[-50, 1e6]])


@pytest.mark.parametrize(
    "labels", [[True, False], [1.0, 0.0], np.array([1, 0], np.uint8)]
)
def test_labels_of_any_number_type_are_taken(labels):
    labels = Prompt(points=[[1, 2], [3, 4]], labels=labels).labels
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [1, 0])


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)])
def test_mask_logits_may_have_the_axis_of_the_reference(shape):
    mask = Prompt(mask=np.full(shape, -3.5)).mask
    assert mask is not None and mask.shape == (8, 8) and mask.dtype == np.float32


def test_binary_masks_keep_their_size():
    mask = Prompt(mask=np.eye(5, 7, dtype=bool)).mask
    assert mask is not None and mask.shape == (5, 7) and mask.dtype == np.bool_


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [500, 375]}, r"shape \(2,\), expected \(n, 2\).*\[\[x, y\]\]"),
        ({"points": [[1, 2, 3]]}, r"points of shape \(1, 3\)"),
        ({"points": [[1, np.nan]]}, "points with NaN"),
        ({"points": [[1, np.inf]]}, "points with NaN or infinite"),
        ({"points": [[1, 2], [3]]}, "not a regular list of numbers"),
        ({"points": [["a", "b"]]}, "not a regular list of numbers"),
        ({"labels": [1]}, r"labels of shape \(1,\) for 0 points"),
        ({"points": [[1, 2]], "labels": [1, 0]}, r"\(2,\) for 1 points"),
        ({"points": [[1, 2]], "labels": []}, r"\(0,\) for 1 points"),
        ({"points": [[1, 2]], "labels": [2]}, r"labels \[2.0\], expected 1 .* or 0"),
        ({"points": [[1, 2]], "labels": [-1]}, r"labels \[-1.0\], expected 1"),
        ({"points": [[1, 2]], "labels": [np.nan]}, "labels with NaN"),
        ({"box": [1, 2, 3]}, r"box of shape \(3,\), expected \(4,\)"),
        ({"box": [[1, 2, 3, 4]] * 2}, "several boxes are several prompts"),
        ({"box": [1, 2, 3, np.nan]}, "box with NaN"),
        ({"box": [10, 2, 3, 4]}, r"\[x, y, x \+ width, y \+ height\]"),
        ({"box": [1, 20, 3, 4]}, "smaller than its left or top"),
        ({"mask": np.ones((8, 8), np.uint8)}, "mask of uint8, expected bool.*mask > 0"),
        ({"points": [[1, 2], [3, 4]], "labels": 1}, r"\(1,\) for 2 points"),
        ({"points": [[1, 2]], "labels": 2}, r"labels \[2.0\]"),
        ({"points": [[1, 2]], "labels": [[1]]}, r"\(1, 1\) for 1 points"),
        ({"mask": np.zeros((8, 9)) + 0.5}, r"logits of shape \(8, 9\).*bool, mask > 0"),
        ({"mask": np.full((8, 8), np.nan)}, "logits with NaN"),
        ({"mask": np.zeros((3, 8, 8), bool)}, "several masks are several prompts"),
        ({"text": "  "}, "expected some words"),
    ],
)
def test_mistakes_are_named_with_a_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        Prompt(**arguments)


@pytest.mark.parametrize("number", [1, 0, np.int64(1), np.array(1), True])
def test_the_label_of_a_lone_point_may_be_a_number(number):
    labels = Prompt(points=[[1, 2]], labels=number).labels
    assert labels.tolist() == [int(number)] and labels.dtype == np.int32


RING = np.add.outer(np.abs(np.arange(8) - 4.0), np.abs(np.arange(8) - 4.0)) / 8


@pytest.mark.parametrize(
    "picture",
    {
        "black and white": np.eye(8),
        "black and white of 8 bits": 255 * np.eye(8),
        "black and white of 16 bits": 65535 * np.eye(8),
        "two values": 128 * np.eye(8),
        "labels": np.arange(64.0).reshape(8, 8) % 5,
        "soft edges": np.round(255 * RING),
        "soft edges of 0 to 1": RING / RING.max(),
        "resized": 255 * RING / RING.max(),
        "half": np.float16(255 * np.eye(8)),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_picture_is_no_logits(picture):
    with pytest.raises(ValueError, match=r"an image and no logits.*mask > "):
        Prompt(mask=picture[1])


@pytest.mark.parametrize(
    "logits",
    {
        "of an answer": 10 * RING - 5,
        "all on the object": np.full((8, 8), 10.0),
        "all undecided": np.zeros((8, 8)),
        "of two values": np.where(np.eye(8) > 0, 10.0, -10.0),
        "none below 0": 3 * RING + 0.25,
        "one at 0": 7.3 * RING,
        "bfloat16": (10 * RING - 5).astype(ml_dtypes.bfloat16),
        "float16": (10 * RING - 5).astype(np.float16),
    }.items(),
    ids=lambda item: item[0],
)
def test_logits_are_taken_as_they_are(logits):
    mask = Prompt(mask=logits[1]).mask
    assert mask is not None and mask.dtype == np.float32
    np.testing.assert_array_equal(mask, np.asarray(logits[1], np.float32))


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(ValueError) as error:
        Prompt(points=[[1, 2]], labels=[7], box=[1], mask=np.ones((2, 2), int))
    for part in ("labels [7.0]", "a box of shape (1,)", "a mask of int64"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "ambiguous"),
    [
        ({}, True),
        ({"points": [[1, 2]]}, True),
        ({"box": [1, 2, 3, 4]}, True),
        ({"mask": np.zeros((4, 4), bool)}, True),
        ({"points": [[1, 2], [3, 4]]}, False),
        ({"points": [[1, 2]], "box": [1, 2, 3, 4]}, False),
        ({"points": [[1, 2]], "mask": np.zeros((4, 4), bool)}, False),
        ({"box": [1, 2, 3, 4], "mask": np.zeros((4, 4), bool)}, False),
    ],
)
def test_a_single_prompt_is_ambiguous_and_several_are_not(arguments, ambiguous):
    """SAM, section 3: three masks for one prompt; a box or a mask is a prompt too."""
    assert Prompt(**arguments).is_ambiguous == ambiguous
