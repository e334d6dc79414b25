"""Masks of everything mode labelled with texts, and boxes of texts as records."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax.geometry.masks import decode_rle
from samjax.inference import AutomaticConfig
from samjax.inference.detectors import FixedBoxes
from samjax.inference.text_masks import (
    check_texts,
    compare_masks,
    generate_text_masks,
)
from samjax.models.text_sam import TextSam

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
ALL = AutomaticConfig(
    points_per_side=2,
    pred_iou_thresh=0.0,
    stability_score_thresh=0.0,
    box_nms_thresh=0.95,
)
COMPARING = dataclasses.replace(SMALL_TEXT, text_similarity_width=8)


@pytest.fixture(scope="module")
def predictor():
    return samjax.Predictor(TextSam(COMPARING), random_params(COMPARING))


@pytest.fixture(scope="module")
def embedding(predictor):
    return predictor.embed(IMAGE)


def maps_of(predictor, embedding, texts):
    vectors = np.stack([predictor.embed_text(text) for text in texts])
    apply = jax.jit(predictor.model.apply, static_argnames="method")
    return np.asarray(
        apply(
            {"params": predictor.params},
            embedding.features,
            vectors,
            method="locate_texts",
        )
    )


def test_a_mask_scores_the_mean_over_its_cells(predictor, embedding):
    texts = ["a cup", "the red spoon"]
    maps = maps_of(predictor, embedding, texts)
    # The grid is 4 x 4, and the image of 40 x 64 covers 2.5 rows of it.
    cell = np.zeros((40, 64), bool)
    cell[:16, 16:32] = True
    whole = np.ones((40, 64), bool)
    scores = compare_masks(predictor, embedding, np.stack([cell, whole]), texts)
    assert scores.shape == (2, 2)
    # Rows are rounded to whole cells: two of them.
    np.testing.assert_allclose(scores[1], maps[:, :2].mean((1, 2)), atol=0.2)
    wide = np.zeros((40, 64), bool)
    wide[:20, 16:32] = True
    got = compare_masks(predictor, embedding, wide[None], texts)
    np.testing.assert_allclose(got[0], maps[:, 0, 1], atol=1e-5)


def test_records_have_the_best_text_and_its_score(predictor, embedding):
    texts = ["a cup", "the red spoon"]
    found: list[Any] = generate_text_masks(predictor, IMAGE, texts, ALL, threshold=0.0)
    assert len(found) >= 2
    values = [record["text_score"] for record in found]
    assert values == sorted(values, reverse=True)
    masks = np.stack([decode_rle(record["segmentation"]) for record in found])
    scores = compare_masks(predictor, embedding, masks, texts)
    for record, row in zip(found, scores, strict=True):
        assert record["text"] == texts[row.argmax()]
        assert record["text_score"] == pytest.approx(row.max(), abs=1e-5)
    middle = values[len(values) // 2]
    kept: list[Any] = generate_text_masks(
        predictor, IMAGE, texts, ALL, threshold=middle
    )
    assert [r["text_score"] for r in kept] == pytest.approx(
        [value for value in values if value >= middle]
    )
    assert generate_text_masks(predictor, IMAGE, texts, ALL, threshold=1.0) == []


def test_boxes_of_a_detector_become_records(predictor):
    boxes = FixedBoxes({"mug": [((2, 2, 30, 30), 0.9), ((40, 5, 60, 20), 0.4)]})
    found: list[Any] = generate_text_masks(
        predictor, IMAGE, ["mug"], ALL, threshold=0.3, detector=boxes
    )
    assert [(r["text"], r["text_score"], r["id"]) for r in found] == [
        ("mug", 0.9, 0),
        ("mug", 0.4, 1),
    ]
    assert decode_rle(found[0]["segmentation"]).shape == (40, 64)


def test_models_that_cannot_compare_say_what_can(predictor):
    plain = samjax.Predictor(TextSam(SMALL_TEXT), random_params())
    with pytest.raises(ValueError, match="use small_text, or a detector"):
        check_texts(plain, ["a cup"])
    with pytest.raises(ValueError, match="knows no word"):
        check_texts(predictor, ["giraffe"])
    for texts in ("a cup", []):
        with pytest.raises(ValueError, match="expected a list of phrases"):
            check_texts(predictor, texts)
