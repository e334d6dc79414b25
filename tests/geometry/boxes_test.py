"""Boxes: areas, overlaps, and boxes of masks as the release writes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samjax.geometry.boxes import (
    box_area,
    box_iou,
    boxes_from_masks,
    nms,
    nms_threshold,
    to_xywh,
)

some_masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9))


def test_area_is_the_product_of_sides_and_never_negative():
    boxes = np.array([[0, 0, 4, 5], [2.5, 1, 3, 3], [4, 4, 2, 9]])
    np.testing.assert_array_equal(box_area(boxes), [20, 1, 0])


def test_iou_of_known_boxes():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [1, 1, 1, 1]])
    iou = box_iou(boxes, boxes[:2])
    np.testing.assert_allclose(iou, [[1, 1 / 7], [1 / 7, 1], [0, 0], [0, 0]])


def test_iou_of_boxes_without_area_is_zero_not_nan():
    point = np.array([[3, 3, 3, 3]])
    assert box_iou(point, point) == 0


@given(st.data())
def test_iou_is_symmetric_and_between_zero_and_one(data):
    boxes = data.draw(hnp.arrays(np.float64, (5, 4), elements=st.floats(-50, 50)))
    boxes = np.concatenate(
        [
            np.minimum(boxes[:, :2], boxes[:, 2:]),
            np.maximum(boxes[:, :2], boxes[:, 2:]),
        ],
        axis=1,
    )
    iou = box_iou(boxes, boxes)
    assert (iou >= 0).all() and (iou <= 1 + 1e-12).all()
    np.testing.assert_allclose(iou, iou.T)


@given(some_masks)
def test_mask_boxes_are_the_extreme_pixels(masks):
    """Trap 4f: indices are inclusive, so one pixel has a box without area."""
    for mask, box in zip(masks, boxes_from_masks(masks), strict=True):
        rows, columns = np.nonzero(mask)
        if rows.size:
            expected = [columns.min(), rows.min(), columns.max(), rows.max()]
        else:
            expected = [0, 0, 0, 0]
        np.testing.assert_array_equal(box, expected)


@pytest.mark.parity
@given(some_masks)
def test_mask_boxes_equal_the_reference(masks):
    import reference
    import torch

    reference.import_reference()
    from segment_anything.utils.amg import batched_mask_to_box

    expected = batched_mask_to_box(torch.from_numpy(masks)).numpy()
    np.testing.assert_array_equal(boxes_from_masks(masks), expected)


def crowded_boxes(seed, count=40):
    """Boxes with many overlaps, equal scores, doubles, and some without area."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(0, 9, (count, 2))], axis=1)
    boxes[count // 2 : count // 2 + 5] = boxes[:5]
    return boxes.astype(np.float32), rng.integers(0, 6, count).astype(np.float32) / 5


def kept_indices(boxes, scores, threshold, valid=None):
    valid = np.ones(len(boxes), bool) if valid is None else valid
    order, keep = nms(boxes, scores, valid, nms_threshold(threshold))
    return np.asarray(order)[np.asarray(keep)].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_suppression_is_greedy_strict_and_stable(seed):
    boxes, scores = crowded_boxes(seed)
    iou = box_iou(boxes, boxes)
    expected = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        # A threshold that some pairs of whole boxes meet exactly.
        if not any(iou[i, j] > 0.5 for j in expected):
            expected.append(i)
    assert kept_indices(boxes, scores, 0.5) == expected
    assert 0 < len(expected) < len(boxes)


def test_padding_is_not_kept_and_suppresses_nothing():
    boxes, scores = crowded_boxes(3)
    padded = np.concatenate([boxes, boxes]), np.concatenate([scores, scores + 1])
    valid = np.arange(80) < 40
    assert kept_indices(*padded, 0.5, valid) == kept_indices(boxes, scores, 0.5)


def test_a_threshold_means_what_it_means_in_double_precision():
    for threshold in np.linspace(0.01, 0.99, 99).tolist():
        rounded = nms_threshold(threshold)
        above = np.nextafter(rounded, np.float32(1))
        assert float(rounded) <= threshold < float(above)


def test_a_box_as_xywh_keeps_the_kind_of_its_numbers():
    assert to_xywh((2, 3, 9, 4)) == [2, 3, 7, 1]
    assert all(type(side) is int for side in to_xywh((2, 3, 9, 4)))
    assert to_xywh([0.5, 1.0, 2.0, 1.0]) == [0.5, 1.0, 1.5, 0.0]
