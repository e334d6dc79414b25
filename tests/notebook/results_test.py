"""Masks of a clicker in the forms of its front end and of annotations."""

import io

import numpy as np
import pytest
from PIL import Image

from samjax.geometry.frame import Frame
from samjax.geometry.masks import decode_rle
from samjax.inference import Masks
from samjax.notebook.results import (
    LONGEST_SHOWN,
    annotation_of,
    best_index,
    candidates,
    chosen_index,
    encode_picture,
    stability_score,
)
from samjax.notebook.session import ObjectState


@pytest.fixture
def masks(rng) -> Masks:
    logits = rng.normal(size=(3, 16, 16)).astype(np.float32)
    return Masks(logits, np.float32([0.2, 0.9, 0.9]), Frame.fit((30, 40), 64))


def test_candidates_are_the_masks_at_the_size_of_the_image(masks):
    found = candidates(masks)
    decoded = np.stack([decode_rle(one["segmentation"]) for one in found])
    np.testing.assert_array_equal(decoded, masks.masks)
    assert decoded.shape == (3, 30, 40)
    assert [one["area"] for one in found] == [int(mask.sum()) for mask in masks.masks]
    np.testing.assert_allclose([one["score"] for one in found], masks.scores)


def test_the_mask_is_the_chosen_one_or_the_best(masks):
    assert best_index(masks) == 1
    assert chosen_index(ObjectState(), masks) == 1
    assert chosen_index(ObjectState(choice=2), masks) == 2
    with pytest.raises(ValueError, match="got mask 2 of a prompt with 1"):
        chosen_index(ObjectState(choice=2), masks.best)


def test_an_annotation_is_of_the_chosen_mask_and_its_foreground_points(masks):
    state = ObjectState(((1.5, 2.5), (7.0, 8.0)), (1, 0), None, 0)
    annotation = annotation_of(state, masks, 5)
    np.testing.assert_array_equal(
        decode_rle(annotation["segmentation"]), masks.masks[0]
    )
    assert annotation["id"] == 5
    assert annotation["point_coords"] == [[1.5, 2.5]]
    assert annotation["predicted_iou"] == pytest.approx(0.2)
    assert annotation["area"] == masks.masks[0].sum()
    assert annotation["crop_box"] == [0, 0, 40, 30]


@pytest.mark.parametrize(
    ("logits", "score"),
    [([[5, -5]], 1), ([[5, 0]], 0.5), ([[0, 0]], 0), ([[-5, -5]], 0)],
)
def test_the_stability_score_compares_two_thresholds(logits, score):
    assert stability_score(np.float32(logits)) == score


@pytest.mark.parametrize(
    ("size", "shown"),
    [((30, 40), (30, 40)), ((10, 3 * LONGEST_SHOWN), (3, LONGEST_SHOWN))],
)
def test_a_picture_is_no_larger_than_screens(size, shown):
    content = encode_picture(np.zeros((*size, 3), np.uint8))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "JPEG"
        assert picture.size == shown[::-1]
