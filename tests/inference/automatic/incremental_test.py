"""Everything in steps is everything at once."""

import numpy as np
import pytest

from samjax.geometry.masks import decode_rle
from samjax.inference import AutomaticConfig, Predictor, generate_masks
from samjax.inference.automatic.incremental import generate_in_steps


@pytest.mark.parametrize("chunk", [3, 64])
def test_steps_find_what_one_call_finds(tiny_model, rng, chunk):
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
    steps = list(generate_in_steps(predictor, image, predictor.embed(image), config))
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


def test_layers_of_crops_are_refused(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 255, (40, 60, 3), np.uint8)
    config = AutomaticConfig(crop_n_layers=1)
    with pytest.raises(ValueError, match="expected 0"):
        list(generate_in_steps(predictor, image, predictor.embed(image), config))
