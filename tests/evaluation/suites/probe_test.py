"""The suite probe: mask embeddings and their nearest neighbours."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from probe_embedder import ColorEmbedder
from small_photo_set import TWO, square, write_set

from samjax.evaluation.metrics.nearest_neighbours import find_neighbours
from samjax.evaluation.policies.mask_embeddings import (
    crop_around,
    pooled,
    shares_of_positions,
)
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.probe import Probe
from samjax.geometry.frame import Frame
from samjax.inference.embedding import ImageEmbedding


def test_shares_add_up_to_the_area_of_the_mask_and_avoid_the_padding():
    mask = square(0, 40, 20)
    shares = shares_of_positions(mask, (8, 8), (48, 64), 64)
    scale = 48 / 60 * 8 / 64
    assert shares.sum() == pytest.approx(mask.sum() * scale**2, rel=1e-5)
    # 48 of 64 rows are image: six of eight positions.
    assert not shares_of_positions(np.ones((60, 80), bool), (8, 8), (48, 64), 64)[
        6:
    ].any()


def test_a_crop_is_a_square_around_the_box_within_the_image():
    assert crop_around(np.array([20, 20, 30, 40]), (100, 100), 2.0) == (10, 51, 5, 46)
    assert crop_around(np.array([0, 0, 10, 10]), (12, 100), 2.0) == (0, 12, 0, 16)


def test_a_thin_mask_without_a_position_of_its_own_is_pooled_by_shares():
    frame = Frame.fit((64, 64), 64)
    features = jnp.arange(64, dtype=jnp.float32).reshape(8, 8, 1)
    mask = np.zeros((64, 64), bool)
    mask[0, 8:16] = True
    embedding = ImageEmbedding(features, frame, "numbers")
    assert pooled(embedding, mask) == pytest.approx([1.0])
    with pytest.raises(ValueError, match="samjax"):
        pooled(object(), mask)


@pytest.mark.parametrize("across", [False, True])
def test_neighbours_are_those_of_brute_force(across):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = np.arange(40) // 4
    found, cosines = find_neighbours(vectors, images, 3, across_images=across)
    for number in range(40):
        others = [
            other
            for other in range(40)
            if other != number and not (across and images[other] == images[number])
        ]
        expected = sorted(others, key=lambda other: -vectors[other] @ vectors[number])[
            :3
        ]
        assert found[number].tolist() == expected
        np.testing.assert_allclose(cosines[number], vectors[expected] @ vectors[number])


def test_there_may_be_fewer_objects_than_neighbours():
    vectors = np.eye(2)
    found, _ = find_neighbours(vectors, np.zeros(2, int), 3)
    assert found.tolist() == [[1, -1, -1], [0, -1, -1]]
    found, _ = find_neighbours(vectors, np.zeros(2, int), 3, across_images=True)
    assert (found == -1).all()


def test_objects_of_one_colour_are_neighbours(tmp_path):
    def name_by_colour(content):
        content["categories"] = [{"id": 1, "name": "red"}, {"id": 3, "name": "green"}]
        for number, annotation in enumerate(content["annotations"]):
            annotation["category_id"] = 3 if number % 2 else 1

    data = write_set(tmp_path / "a", [TWO] * 4, change=name_by_colour)
    suite = Probe(neighbours=2, margin=1.0, min_area=1).make([data], None)
    segmenter = ColorEmbedder()
    result = evaluate(suite, segmenter)
    assert result.scores["agreement"] == 1.0
    assert result.scores["at_random"] == pytest.approx(3 / 7)
    # Each crop and its mirror image.
    assert segmenter.embedded == 16
    (of_set,) = result.sets
    first = of_set.details["neighbours"][0]
    assert first["category"] == "red" and len(first["neighbours"]) == 2
    assert first["neighbours"][0]["cosine"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "data", "segmenter"),
    [
        ({}, [], "samjax"),
        ({}, ["a"], "grabcut"),
        ({"neighbours": 0}, ["a"], "samjax"),
        ({"margin": 0.5}, ["a"], "samjax"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, data, segmenter):
    with pytest.raises(OptionError):
        Probe(**options).check(list(map(Path, data)), segmenter)
