"""GrabCut from a box."""

import dataclasses

import numpy as np
import pytest
from small_photo_set import TWO, draw, records_of, sample_of

import samjax
from samjax.evaluation.grabcut import GrabCut, cut_out
from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.policies.interactive_clicks import InteractiveClicks
from samjax.geometry.masks import mask_iou

pytest.importorskip("cv2", reason="GrabCut needs the extra `eval`")


def disc(y, x, radius, size=(80, 100)):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def noisy(masks):
    rng = np.random.default_rng(0)
    pixels = draw(masks, masks[0].shape) + rng.normal(0, 8, (*masks[0].shape, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def test_a_distinct_object_is_cut_out_of_its_box():
    masks = [disc(40, 30, 22), disc(30, 75, 15)]
    sample = dataclasses.replace(sample_of(masks), image=noisy(masks))
    for record in records_of(GrabCut(), sample, Boxes(), InteractiveClicks()):
        # A single mask without a predicted IoU, and no clicks.
        assert set(record["iou"]) == {"box"} and not record["predicted"]
        assert record["iou"]["box"] > 0.95
    box = np.array([8, 18, 52, 62])
    filled = np.zeros((80, 100), bool)
    filled[18:63, 8:53] = True
    assert mask_iou(filled[None], masks[0][None])[0, 0] < 0.8
    mask = cut_out(noisy(masks), box, iterations=5)
    np.testing.assert_array_equal(mask, cut_out(noisy(masks), box, iterations=5))


def test_a_box_of_the_whole_image_is_the_mask():
    for box in ([0, 0, 79, 59], [-5, -5, 200, 200]):
        assert cut_out(draw(TWO), np.array(box), iterations=2).all()


def test_a_box_of_one_pixel_is_cut_without_an_error():
    mask = cut_out(draw(TWO), np.array([10, 10, 10, 10]), iterations=2)
    assert mask.shape == (60, 80) and mask.sum() <= 1


def test_any_other_prompt_is_refused():
    grabcut = GrabCut()
    for prompt in (
        samjax.Prompt(points=[[1, 2]]),
        samjax.Prompt(points=[[1, 2]], box=[0, 0, 9, 9]),
        samjax.Prompt(),
    ):
        with pytest.raises(ValueError, match="expected a box"):
            grabcut.predict(draw(TWO), [prompt])
