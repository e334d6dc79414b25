"""Boxes: XYXY (left, top, right, bottom), in the frame of their masks or prompts.

Boxes of masks end at the last pixel, as in SA-1B's records; suppression keeps the boxes
that torchvision's, which `segment_anything` calls, keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real


def box_area(boxes: Real[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch"]:
    """Returns (right - left) * (bottom - top) in any frame; 0 for a negative side."""
    boxes = boxes.astype(np.float64)
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def box_iou(
    boxes: Real[np.ndarray, "n 4"], others: Real[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Returns the intersection over union of every box with every other, in one frame.

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


def to_xywh(box: Sequence[float | int]) -> list[Any]:
    """Returns x, y, width, height of an XYXY box of any frame; integers stay integers."""
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def boxes_from_masks(masks: Bool[np.ndarray, "k h w"]) -> Int[np.ndarray, "k 4"]:
    """Returns the tight box of every mask, by the released code's convention.

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


def box_of_occupied(
    columns: Bool[Array, "*batch w"], rows: Bool[Array, "*batch h"]
) -> Int[Array, "*batch 4"]:
    """Returns boxes by the convention of `boxes_from_masks`, within compiled code.

    Args:
        columns: whether a column has a pixel of the mask.
        rows: whether a row has one.
    """

    def extent(occupied):
        last = occupied.shape[-1] - 1
        return jnp.argmax(occupied, -1), last - jnp.argmax(occupied[..., ::-1], -1)

    (left, right), (top, bottom) = extent(columns), extent(rows)
    boxes = jnp.stack([left, top, right, bottom], axis=-1).astype(jnp.int32)
    return jnp.where(jnp.any(columns, axis=-1, keepdims=True), boxes, 0)


class Kept(NamedTuple):
    """Result of non-maximum suppression.

    Attributes:
        order: Int "n", indices of all boxes by descending score, the invalid ones last.
        keep: Bool "n", in that order, whether a box was kept.
    """

    order: Array
    keep: Array


@jax.jit
def nms(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, " n"],
    valid: Bool[Array, " n"],
    threshold: Float[Array, ""],
) -> Kept:
    """Non-maximum suppression of boxes, in a static shape.

    Greedy, as torchvision's: from the highest score down, a box is kept unless its IoU
    with a box kept before is strictly above the threshold. Of equal scores the first
    comes first. IoUs are float32, as torchvision's. Boxes without area are all kept.

    Args:
        boxes: XYXY, in any frame.
        scores: of the boxes.
        valid: False for padding, which is not kept and suppresses no box.
        threshold: from `nms_threshold`.
    """
    order = jnp.argsort(jnp.where(valid, -scores, jnp.inf), stable=True)
    left, top, right, bottom = boxes[order].T
    areas = (right - left) * (bottom - top)
    rank = jnp.arange(len(boxes))

    def visit(i, keep):
        width = jnp.minimum(right, right[i]) - jnp.maximum(left, left[i])
        height = jnp.minimum(bottom, bottom[i]) - jnp.maximum(top, top[i])
        shared = jnp.maximum(width, 0.0) * jnp.maximum(height, 0.0)
        overlaps = shared / (areas[i] + areas - shared) > threshold
        return keep & ~(keep[i] & overlaps & (rank > i))

    return Kept(order, jax.lax.fori_loop(0, len(boxes), visit, valid[order]))


def nms_threshold(threshold: float) -> np.float32:
    """Returns the largest float32 that is not above `threshold`.

    torchvision compares float32 IoUs with the double. A float32 is above the double just
    where it is above this; a threshold rounded up would keep a box whose IoU is between
    the two.
    """
    rounded = np.float32(threshold)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return rounded
