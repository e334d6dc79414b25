"""Incremental mask generation gives the records of one call, for one image side."""

import dataclasses

import numpy as np
import pytest

from samjax.geometry.masks import decode_rle
from samjax.inference import AutomaticConfig, Predictor, generate_masks
from samjax.inference.automatic import generate
from samjax.inference.automatic.incremental import generate_in_steps


@pytest.mark.parametrize("chunk", [3, 64])
def test_steps_give_the_records_of_one_call(tiny_model, rng, chunk):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 255, (40, 60, 3), np.uint8)
    config = AutomaticConfig(
        points_per_side=4,
        points_per_batch=chunk,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        mask_nms_thresh=0.9,
        min_mask_region_area=5,
    )
    steps = list(generate_in_steps(predictor, predictor.embed(image), config))
    assert [step.done for step in steps] == [*range(chunk, 16, chunk), 16]
    assert {step.total for step in steps} == {16}
    assert all(step.records is None for step in steps[:-1])
    expected = generate_masks(predictor, image, config)
    found = steps[-1].records
    assert found and len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            decode_rle(one["segmentation"]), decode_rle(other["segmentation"])
        )
        assert one["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-6)
        assert (one["id"], one["point_coords"]) == (other["id"], other["point_coords"])


@pytest.fixture
def embedded(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 255, (40, 60, 3), np.uint8)
    return predictor, predictor.embed(image)


@pytest.mark.parametrize("ahead", [True, False])
def test_all_chunks_share_one_image_side(embedded, monkeypatch, ahead):
    """And no chunk is computed before it is wanted, where none may run ahead."""
    calls = {"prepare_image": 0, "find_candidates": 0}

    def counted(name):
        compiled = getattr(generate, name)

        def call(*args, **kwargs):
            calls[name] += 1
            return compiled(*args, **kwargs)

        return call

    for name in calls:
        monkeypatch.setattr(generate, name, counted(name))
    config = AutomaticConfig(points_per_side=4, points_per_batch=3, pred_iou_thresh=1e6)
    steps = generate_in_steps(*embedded, config, may_run_ahead=lambda: ahead)
    next(steps)
    assert calls == {"prepare_image": 1, "find_candidates": 1 + ahead}
    assert len(list(steps)) == 5
    assert calls == {"prepare_image": 1, "find_candidates": 6}


def test_an_embedding_gives_the_records_of_its_image(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 255, (40, 60, 3), np.uint8)
    config = AutomaticConfig(
        points_per_side=4, pred_iou_thresh=0, stability_score_thresh=0
    )
    records = generate_masks(predictor, predictor.embed(image), config)
    assert records == generate_masks(predictor, image, config) != []


def test_layers_of_crops_are_refused(embedded):
    config = AutomaticConfig(crop_n_layers=1)
    with pytest.raises(ValueError, match="expected 0"):
        list(generate_in_steps(*embedded, config))
    with pytest.raises(ValueError, match="expected 0"):
        generate_masks(*embedded, config)


def test_an_embedding_of_other_weights_is_refused(embedded):
    predictor, embedding = embedded
    foreign = dataclasses.replace(embedding, fingerprint="0" * 64)
    with pytest.raises(ValueError, match="other weights"):
        list(generate_in_steps(predictor, foreign, AutomaticConfig()))
