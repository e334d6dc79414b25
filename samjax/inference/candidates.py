"""Points of one image to the masks that pass the filters, in one compiled call.

The inner step of automatic mask generation (SAM, appendix B). Every point is answered
by three masks. Those that the model itself thinks little of are dropped before anything
is drawn or brought to the image's size; the others are, stripe by stripe, to count how
stable they are and where they end; what passes leaves the device as bits. So memory is
that of one chunk of points, however many there are.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from samjax.geometry.boxes import box_of_occupied
from samjax.geometry.stripes import Blocks, may_exceed, upscale_stripe
from samjax.models.mask_decoder import Attended
from samjax.models.prompt_encoder import FOREGROUND, NOT_A_POINT, PromptInputs
from samjax.models.sam import Sam


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
        bits: Uint8 "n h/8 w", eight rows to a byte, the uppermost in the highest bit.
    """

    count: Array
    source: Array
    predicted_iou: Array
    stability: Array
    boxes: Array
    bits: Array


# Pixels within which a box ends at an edge, as in the release.
EDGE_TOLERANCE = 20.0


class Pace(NamedTuple):
    """How much is worked on at a time; static, and without influence on results.

    Attributes:
        points: that go through the transformer together.
        drawn: of these, that are drawn together, or not at all where none is wanted.
        masks: that are brought to the crop's size together.
    """

    points: int
    drawn: int
    masks: int


@functools.partial(jax.jit, static_argnames=("model", "capacity", "pace"))
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
    pace: Pace,
) -> Candidates:
    """Asks for the three masks of every point and keeps those that pass.

    Args:
        params: of the model.
        features: embedding of the crop.
        points: in the model's frame.
        valid: False for points that only fill the chunk.
        down: from `upscaling_blocks`, for rows of the crop; a block is a stripe.
        across: the same for columns.
        filters: what must be passed.
        model: the model.
        capacity: rows of the answer.
        pace: how much at a time.
    """
    logits, scores, passes = _three_masks(
        params, features, points, valid, filters, model, pace
    )
    waiting = jnp.argsort(~passes, stable=True).astype(jnp.int32)
    total = jnp.sum(passes)
    # Room for a last group that is only partly filled.
    waiting = jnp.concatenate([waiting, jnp.zeros(pace.masks, jnp.int32)])
    height = down.weights.shape[0] * down.weights.shape[1]
    width = across.weights.shape[0] * across.weights.shape[1]
    # The last row takes what is dropped.
    found = Candidates(
        count=jnp.int32(0),
        source=jnp.zeros(capacity + 1, jnp.int32),
        predicted_iou=jnp.zeros(capacity + 1),
        stability=jnp.zeros(capacity + 1),
        boxes=jnp.zeros((capacity + 1, 4), jnp.int32),
        bits=jnp.zeros((capacity + 1, height // 8, width), jnp.uint8),
    )

    def look_at_group(i, found):
        first = i * pace.masks
        source = jax.lax.dynamic_slice(waiting, (first,), (pace.masks,))
        stability, boxes, bits = _measure(logits[source], down, across, filters)
        keep = first + jnp.arange(pace.masks) < total
        keep &= (stability >= filters.stability) | (filters.stability <= 0)
        keep &= ~_is_cut_by_crop(boxes, filters)
        measured = (source, scores[source], stability, boxes, bits)
        for mask in range(pace.masks):
            row = jnp.where(keep[mask], jnp.minimum(found.count, capacity), capacity)
            # Slices are written in place; a scatter goes over them number by number.
            written = (
                jax.lax.dynamic_update_slice_in_dim(rows, values[mask][None], row, 0)
                for rows, values in zip(found[1:], measured, strict=True)
            )
            found = Candidates(found.count + keep[mask], *written)
        return found

    found = jax.lax.fori_loop(0, -(-total // pace.masks), look_at_group, found)
    return Candidates(found.count, *(rows[:capacity] for rows in found[1:]))


def _three_masks(
    params: Mapping[str, Any],
    features: Array,
    points: Array,
    valid: Array,
    filters: Filters,
    model: Sam,
    pace: Pace,
) -> tuple[Float[Array, "m lh lw"], Float[Array, " m"], Bool[Array, " m"]]:
    """Low-res logits, scores, and which scores pass, of all points in one list.

    Where no mask of a point passes, its logits are zeros.
    """
    variables = {"params": params}
    side = 4 * features.shape[0], 4 * features.shape[1]

    def draw(state):
        logits = model.apply(variables, state, method="draw")
        return cast(Array, logits)[0, :, 1:]

    def skip(state):
        return jnp.zeros((state.image.shape[1], 3, *side))

    def answer(group):
        points, valid = group
        tokens = jnp.stack([points, jnp.zeros_like(points)], axis=1)
        labels = jnp.broadcast_to(
            jnp.array([FOREGROUND, NOT_A_POINT]), (len(points), 2)
        )
        prompts = PromptInputs(tokens[None], labels[None])
        state = model.apply(variables, features[None], prompts, method="attend")
        state = cast(Attended, state)
        scores = state.iou_predictions[0, :, 1:]
        passes = (scores > filters.predicted_iou) | (filters.predicted_iou <= 0)
        passes &= valid[:, None]
        # The axis of prompt sets is the second.
        parts = jax.tree.map(
            lambda array: array.reshape(-1, 1, pace.drawn, *array.shape[2:]), state
        )
        wanted = jnp.any(passes.reshape(-1, pace.drawn * 3), axis=1)
        logits = jax.lax.map(
            lambda x: jax.lax.cond(x[0], draw, skip, x[1]), (wanted, parts)
        )
        return logits.reshape(-1, 3, *side), scores, passes

    # Points that fill the last group.
    missing = -len(points) % pace.points
    points = jnp.pad(points, ((0, missing), (0, 0))).reshape(-1, pace.points, 2)
    valid = jnp.pad(valid, (0, missing)).reshape(-1, pace.points)
    logits, scores, passes = jax.lax.map(answer, (points, valid))
    return logits.reshape(-1, *side), scores.ravel(), passes.ravel()


def _measure(
    logits: Float[Array, "m lh lw"], down: Blocks, across: Blocks, filters: Filters
) -> tuple[Float[Array, " m"], Int[Array, "m 4"], UInt8[Array, "m h8 w"]]:
    """Stability scores, boxes and bits of masks at the crop's padded size.

    Only stripes in which a logit may exceed the lowest threshold are looked at.
    """
    stripes, rows, _ = down.weights.shape
    width = across.weights.shape[0] * across.weights.shape[1]
    number = len(logits)
    offset = filters.stability_offset
    lowest = jnp.minimum(-jnp.abs(offset), 0.0)
    is_needed = may_exceed(logits, down, lowest)
    in_width = jnp.arange(width) < filters.size[1]

    def look_at_stripe(index, seen):
        higher, lower, columns, in_rows, bits = seen
        top = index * rows
        in_height = top + jnp.arange(rows) < filters.size[0]
        stripe = upscale_stripe(logits, down, across, index)
        inside = _pack_rows(in_height[None, :, None] & in_width[None, None])

        def above(threshold):
            # Packed first: what is left to count or join is a bit a pixel.
            return _pack_rows(stripe > threshold) & inside

        mask = above(0.0)
        return (
            higher + _number_of_bits(above(offset)),
            lower + _number_of_bits(above(-offset)),
            columns | jax.lax.reduce_or(mask, axes=(1,)),
            jax.lax.dynamic_update_slice(
                in_rows, jax.lax.reduce_or(mask, axes=(2,)), (0, top // 8)
            ),
            jax.lax.dynamic_update_slice(bits, mask, (0, top // 8, 0)),
        )

    def look_if_needed(index, seen):
        return jax.lax.cond(
            is_needed[index], lambda s: look_at_stripe(index, s), lambda s: s, seen
        )

    nothing = (
        jnp.zeros(number, jnp.int32),
        jnp.zeros(number, jnp.int32),
        jnp.zeros((number, width), jnp.uint8),
        jnp.zeros((number, stripes * rows // 8), jnp.uint8),
        jnp.zeros((number, stripes * rows // 8, width), jnp.uint8),
    )
    higher, lower, columns, in_rows, bits = jax.lax.fori_loop(
        0, stripes, look_if_needed, nothing
    )
    in_rows = jnp.unpackbits(in_rows, axis=1).view(bool)
    # 0 / 0 is NaN, as in the release, and passes no threshold.
    stability = higher.astype(jnp.float32) / lower.astype(jnp.float32)
    return stability, box_of_occupied(columns > 0, in_rows), bits


def _pack_rows(mask: Bool[Array, "m h w"]) -> UInt8[Array, "m h8 w"]:
    """What `jnp.packbits` does along rows, in one pass over the pixels."""
    number, height, width = mask.shape
    rows = mask.astype(jnp.uint8).reshape(number, height // 8, 8, width)
    return functools.reduce(
        operator.or_, [rows[:, :, place] << (7 - place) for place in range(8)]
    )


def _number_of_bits(packed: UInt8[Array, "m h8 w"]) -> Int[Array, " m"]:
    counts = jax.lax.population_count(packed)
    return jnp.sum(counts, axis=(1, 2), dtype=jnp.int32)


def _is_cut_by_crop(boxes: Array, filters: Filters) -> Bool[Array, " m"]:
    """Whether a box ends at an edge of the crop, and not at the image's own edge."""
    corner = filters.crop_box[:2]
    in_image = boxes.astype(jnp.float32) + jnp.concatenate([corner, corner])[None]

    def is_near(box):
        return jnp.abs(in_image - box[None]) <= EDGE_TOLERANCE

    is_cut = is_near(filters.crop_box) & ~is_near(filters.image_box)
    return jnp.any(is_cut, axis=1)
