"""Boundary IoU is that of eroded masks, and mBIoU its mean over objects."""

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, square, write_set
from small_suites import PartSegmenter

from samjax.evaluation.metrics.boundary_iou import boundary_iou
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import SinglePoint

pytest.importorskip("cv2", reason="boundaries need the extra `eval`")


@pytest.mark.parametrize("ratio", [0.005, 0.02, 0.1])
def test_boundaries_are_what_erosion_takes_away(ratio, rng):
    ndimage = pytest.importorskip("scipy.ndimage")
    size = (60, 80)
    width = max(1, round(ratio * 100))
    for _ in range(5):
        masks = ndimage.gaussian_filter(rng.standard_normal((2, *size)), (0, 5, 5)) > 0
        inner, outer = (
            mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width)
            for mask in masks
        )
        expected = (inner & outer).sum() / (inner | outer).sum()
        assert boundary_iou(masks[0], masks[1], ratio) == pytest.approx(expected)


def test_a_mask_of_the_right_inside_alone_has_a_boundary_iou_of_zero():
    mask, inside = square(5, 5, 30), square(10, 10, 20)
    assert boundary_iou(mask, inside, 0.02) == 0
    assert boundary_iou(mask, mask, 0.02) == 1
    assert boundary_iou(mask & False, mask & False, 0.02) == 0


def test_mbiou_is_a_score_beside_the_iou(tmp_path):
    folder = write_set(tmp_path / "set", [TWO] * 2)
    suite = SinglePoint(min_area=1, clicks=(1, 2), boundary=True).make([folder], None)
    truth = evaluate(suite, ColorSegmenter())
    part = evaluate(suite, PartSegmenter())
    names = {"boundary_1", "boundary_2", "boundary_box", "boundary_box_single"}
    assert names <= set(truth.scores) and names <= set(part.intervals)
    assert all(truth.scores[name] == 1 for name in names)
    assert 0 < part.scores["boundary_box"] < part.scores["box"]
    assert truth.protocol["boundary"] == 0.02
