"""OWLv2 as a detector: pixels, boxes in the image, and texts."""

import dataclasses

import numpy as np
import pytest
from models.owl.model_test import SMALL_CLIP, random_params

from samjax.inference.detectors import OwlDetector
from samjax.inference.detectors.owl import corners, square_pixels
from samjax.models.clip.model import PIXEL_MEAN, PIXEL_STD
from samjax.models.owl import Owl, OwlConfig


@pytest.fixture(scope="module")
def detector():
    fields = dataclasses.asdict(SMALL_CLIP)
    fields |= {"embed_dim": 32, "vision_heads": 4, "vocab_size": 49_408}
    config = OwlConfig(**fields)
    return OwlDetector(Owl(config), random_params(config))


def test_images_are_padded_at_the_bottom_and_right_with_black():
    image = np.full((30, 60, 3), 255, np.uint8)
    pixels = square_pixels(image, 24)
    restored = pixels * PIXEL_STD + PIXEL_MEAN
    np.testing.assert_allclose(restored[:11], 1, atol=1e-6)
    np.testing.assert_allclose(restored[13:], 0, atol=1e-6)
    # The longer side is the model's: nothing is squeezed.
    assert square_pixels(image.transpose(1, 0, 2), 24)[:, :11].min() > 0


def test_corners_are_half_a_size_from_the_centre():
    assert corners(np.array([[0.5, 0.4, 0.2, 0.4]])).round(6).tolist() == [
        [0.4, 0.2, 0.6, 0.6]
    ]


def test_each_patch_has_a_box_of_one_text_in_pixels_of_the_image(detector):
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (50, 100, 3), np.uint8)
    found = detector.detect(image, ["a mug", "a plate", "a spoon"])
    assert 0 < len(found.boxes) <= detector.model.config.grid_size**2
    assert set(found.texts.tolist()) <= {0, 1, 2}
    assert ((found.scores > 0) & (found.scores < 1)).all()
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    # Shares of the padded square: 100 pixels to a side, though the image has 50 rows.
    assert centres.max() > 50 and centres.max() <= 100


def test_a_detector_may_give_every_text_the_boxes_that_it_has_alone(detector):
    image = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
    texts = ["a mug", "a plate", "a spoon"]
    every = dataclasses.replace(detector, is_exclusive=False)
    found = every.detect(image, texts)
    assert len(found.boxes) > len(detector.detect(image, texts).boxes)
    for index, text in enumerate(texts):
        alone = detector.detect(image, [text])
        own = found.texts == index
        np.testing.assert_allclose(found.scores[own], alone.scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes[own], alone.boxes, atol=1e-3)


def test_more_texts_change_nothing_of_the_scores_of_one(detector):
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    alone = detector.detect(image, ["a mug"])
    twice = detector.detect(image, ["a mug", "a mug", "a mug"])
    np.testing.assert_allclose(alone.scores, twice.scores, atol=1e-5)
    np.testing.assert_allclose(alone.boxes, twice.boxes, atol=1e-3)
    with pytest.raises(ValueError, match="got no texts"):
        detector.detect(image, [])
