"""Boxes: XYXY (left, top, right, bottom), in the frame of what they go with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Real


def box_area(boxes: Real[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch"]:
    """Returns (right - left) * (bottom - top); 0 where a side is negative."""
    boxes = boxes.astype(np.float64)
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def box_iou(
    boxes: Real[np.ndarray, "n 4"], others: Real[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Returns the intersection over union of every box with every other.

    Two boxes without any area between them have 0, never NaN.
    """
    left = boxes[:, None, :].astype(np.float64)
    right = others[None, :, :].astype(np.float64)
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(
        left[..., :2], right[..., :2]
    )
    sides = np.maximum(sides, 0.0)
    intersection = sides[..., 0] * sides[..., 1]
    union = box_area(left) + box_area(right) - intersection
    return intersection / np.where(union > 0, union, 1.0)


def boxes_from_masks(masks: Bool[np.ndarray, "k h w"]) -> Int[np.ndarray, "k 4"]:
    """Returns the tight box of every mask, as the released code writes boxes.

    Left, top, right and bottom are the *indices* of the outermost pixels, so right -
    left is one less than the number of columns, and a mask one pixel wide has a box
    without area. An empty mask has the box (0, 0, 0, 0). SA-1B's records and the
    released generator use this form.
    """
    _, height, width = masks.shape
    columns = np.logical_or.reduce(masks, axis=1)
    rows = np.logical_or.reduce(masks, axis=2)
    boxes = np.stack(
        [
            columns.argmax(axis=1),
            rows.argmax(axis=1),
            width - 1 - columns[:, ::-1].argmax(axis=1),
            height - 1 - rows[:, ::-1].argmax(axis=1),
        ],
        axis=1,
    )
    return np.where(np.any(columns, axis=1, keepdims=True), boxes, 0)
