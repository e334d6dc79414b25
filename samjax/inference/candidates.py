"""Points of one image to the masks that pass the filters, in one compiled call.

The inner step of automatic mask generation (SAM, appendix B). Every point is answered
by three masks. Those that the model itself thinks little of are dropped before anything
is brought to the image's size; the others are, a few at a time, to count how stable they
are and where they end; what passes leaves the device as bits. So memory is that of one
chunk of points, however many there are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from samjax.geometry.resampling import Blocks, upscale_in_blocks
from samjax.models.prompt_encoder import FOREGROUND, NOT_A_POINT, PromptInputs
from samjax.models.sam import MaskPrediction, Sam


class Filters(NamedTuple):
    """What a candidate must pass; arrays, so that changing one compiles nothing.

    Attributes:
        predicted_iou: Float "", must be exceeded; 0 or less passes all.
        stability: Float "", least stability score; 0 or less passes all.
        stability_offset: Float "", by which the mask threshold is moved.
        size: Int "2", (h, w) of the crop in pixels.
        crop_box: Float "4", XYXY of the crop in the image.
        image_box: Float "4", XYXY of the image.
    """

    predicted_iou: Any
    stability: Any
    stability_offset: Any
    size: Any
    crop_box: Any
    image_box: Any


class Candidates(NamedTuple):
    """The masks of a chunk that passed, in the order of points and of their masks.

    The first `count` rows hold something; should there be more than rows, the rest is
    lost, and the call is to be repeated with more.

    Attributes:
        count: Int "", how many passed.
        source: Int "n", three times the number of the point, plus that of the mask.
        predicted_iou: Float "n".
        stability: Float "n".
        boxes: Int "n 4", inclusive XYXY in the frame of the crop.
        bits: Uint8 "n w h/8", masks column by column, first pixel in the highest bit.
    """

    count: Array
    source: Array
    predicted_iou: Array
    stability: Array
    boxes: Array
    bits: Array


# Pixels within which a box ends at an edge, as in the release.
EDGE_TOLERANCE = 20.0


@functools.partial(jax.jit, static_argnames=("model", "capacity", "group"))
def find_candidates(
    params: Mapping[str, Any],
    features: Float[Array, "gh gw c"],
    points: Float[Array, "n 2"],
    valid: Bool[Array, " n"],
    down: Blocks,
    across: Blocks,
    filters: Filters,
    *,
    model: Sam,
    capacity: int,
    group: int,
) -> Candidates:
    """Asks for the three masks of every point and keeps those that pass.

    Args:
        params: of the model.
        features: embedding of the crop.
        points: in the model's frame.
        valid: False for points that only fill the chunk.
        down: from `upscaling_blocks`, for rows of the crop.
        across: the same for columns.
        filters: what must be passed.
        model: the model.
        capacity: rows of the answer.
        group: masks that are brought to the crop's size at a time.
    """
    logits, scores = _three_masks(params, features, points, model)
    passes = jnp.repeat(valid, 3) & (
        (scores > filters.predicted_iou) | (filters.predicted_iou <= 0)
    )
    waiting = jnp.argsort(~passes, stable=True).astype(jnp.int32)
    total = jnp.sum(passes)
    # Room for a last group that is only partly filled.
    waiting = jnp.concatenate([waiting, jnp.zeros(group, jnp.int32)])
    height = down.weights.shape[0] * down.weights.shape[1]
    width = across.weights.shape[0] * across.weights.shape[1]
    found = Candidates(
        count=jnp.int32(0),
        source=jnp.zeros(capacity, jnp.int32),
        predicted_iou=jnp.zeros(capacity),
        stability=jnp.zeros(capacity),
        boxes=jnp.zeros((capacity, 4), jnp.int32),
        bits=jnp.zeros((capacity, width, height // 8), jnp.uint8),
    )

    def look_at_group(i, found):
        first = i * group
        source = jax.lax.dynamic_slice(waiting, (first,), (group,))
        full = upscale_in_blocks(logits[source], down, across)
        stability, boxes, mask = _measure(full, filters)
        keep = first + jnp.arange(group) < total
        keep &= (stability >= filters.stability) | (filters.stability <= 0)
        keep &= ~_is_cut_by_crop(boxes, filters)
        # Rows that are dropped are written beyond the end, that is, nowhere.
        row = found.count + jnp.cumsum(keep) - 1
        row = jnp.where(keep, row, capacity)

        def write(rows, values):
            return rows.at[row].set(values, mode="drop")

        return Candidates(
            count=found.count + jnp.sum(keep),
            source=write(found.source, source),
            predicted_iou=write(found.predicted_iou, scores[source]),
            stability=write(found.stability, stability),
            boxes=write(found.boxes, boxes),
            bits=write(found.bits, jnp.packbits(jnp.swapaxes(mask, 1, 2), axis=-1)),
        )

    return jax.lax.fori_loop(0, -(-total // group), look_at_group, found)


def _three_masks(
    params: Mapping[str, Any], features: Array, points: Array, model: Sam
) -> tuple[Float[Array, "m lh lw"], Float[Array, " m"]]:
    """Low-res logits and scores of the three masks of every point, in one list."""
    number = len(points)
    tokens = jnp.stack([points, jnp.zeros_like(points)], axis=1)
    labels = jnp.broadcast_to(jnp.array([FOREGROUND, NOT_A_POINT]), (number, 2))
    prediction = model.apply(
        {"params": params},
        features[None],
        PromptInputs(tokens[None], labels[None]),
        method="decode",
    )
    logits, scores = cast(MaskPrediction, prediction)
    return logits[0, :, 1:].reshape(-1, *logits.shape[-2:]), scores[0, :, 1:].ravel()


def _measure(full: Float[Array, "m h w"], filters: Filters):
    """Stability scores, boxes and masks of logits of the crop's padded size."""
    _, height, width = full.shape
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside = (rows[:, None] < filters.size[0]) & (columns[None] < filters.size[1])
    full = jnp.where(inside[None], full, -jnp.inf)

    def area(threshold):
        return jnp.sum(full > threshold, axis=(1, 2), dtype=jnp.int32)

    higher, lower = area(filters.stability_offset), area(-filters.stability_offset)
    # 0 / 0 is NaN, as in the release, and passes no threshold.
    stability = higher.astype(jnp.float32) / lower.astype(jnp.float32)
    mask = full > 0.0
    in_row, in_column = jnp.any(mask, axis=2), jnp.any(mask, axis=1)
    boxes = jnp.stack(
        [
            jnp.argmax(in_column, axis=1),
            jnp.argmax(in_row, axis=1),
            width - 1 - jnp.argmax(in_column[:, ::-1], axis=1),
            height - 1 - jnp.argmax(in_row[:, ::-1], axis=1),
        ],
        axis=1,
    )
    boxes = jnp.where(jnp.any(in_row, axis=1, keepdims=True), boxes, 0)
    return stability, boxes.astype(jnp.int32), mask


def _is_cut_by_crop(boxes: Array, filters: Filters) -> Bool[Array, " m"]:
    """Whether a box ends at an edge of the crop, and not at the image's own edge."""
    corner = filters.crop_box[:2]
    in_image = boxes.astype(jnp.float32) + jnp.concatenate([corner, corner])[None]

    def is_near(box):
        return jnp.abs(in_image - box[None]) <= EDGE_TOLERANCE

    is_cut = is_near(filters.crop_box) & ~is_near(filters.image_box)
    return jnp.any(is_cut, axis=1)
