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
from samjax.models.mask_decoder import Answered, SharedImage
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
        points: that go through the transformer together, and are drawn together, or not
            at all where none of their masks is wanted.
        masks: that are brought to the crop's size together.
        abreast: groups of points, and of masks, that are worked on side by side. The
            cores of a CPU are kept busier by work that is independent than by sharing
            every operation.
    """

    points: int
    masks: int
    abreast: int


@functools.partial(jax.jit, static_argnames=("model",))
def share_image(
    params: Mapping[str, Any], features: Float[Array, "gh gw c"], *, model: Sam
) -> SharedImage:
    """Computes what all points of an embedded crop have in common."""
    return cast(SharedImage, model.apply({"params": params}, features, method="share"))


@functools.partial(jax.jit, static_argnames=("grid", "model", "capacity", "pace"))
def find_candidates(
    params: Mapping[str, Any],
    shared: SharedImage,
    points: Float[Array, "n 2"],
    number: Int[Array, ""],
    down: Blocks,
    across: Blocks,
    filters: Filters,
    *,
    grid: tuple[int, int],
    model: Sam,
    capacity: int,
    pace: Pace,
) -> Candidates:
    """Asks for the three masks of every point and keeps those that pass.

    Args:
        params: of the model.
        shared: what the points of the crop have in common, from `share_image`.
        points: in the model's frame.
        number: how many of the points count; those after them only fill the chunk.
        down: from `upscaling_blocks`, for rows of the crop; a block is a stripe.
        across: the same for columns.
        filters: what must be passed.
        grid: height and width of the crop's embedding.
        model: the model.
        capacity: rows of the answer.
        pace: how much at a time.
    """
    logits, scores, passes = _three_masks(
        params, shared, points, number, filters, grid, model, pace
    )
    waiting = jnp.argsort(~passes, stable=True).astype(jnp.int32)
    total = jnp.sum(passes)
    # Room for last groups that are only partly filled.
    together = pace.masks * pace.abreast
    waiting = jnp.concatenate([waiting, jnp.zeros(together, jnp.int32)])
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

    def look_at(first, found):
        source = jax.lax.dynamic_slice(waiting, (first,), (together,))
        groups = logits[source].reshape(pace.abreast, pace.masks, *logits.shape[1:])
        measured = [_measure(group, down, across, filters) for group in groups]
        stability, boxes, bits = jax.tree.map(
            lambda *parts: jnp.concatenate(parts), *measured
        )
        keep = first + jnp.arange(together) < total
        keep &= (stability >= filters.stability) | (filters.stability <= 0)
        keep &= ~_is_cut_by_crop(boxes, filters)
        measured = (source, scores[source], stability, boxes, bits)
        for mask in range(together):
            row = jnp.where(keep[mask], jnp.minimum(found.count, capacity), capacity)
            # Slices are written in place; a scatter goes over them number by number.
            written = (
                jax.lax.dynamic_update_slice_in_dim(rows, values[mask][None], row, 0)
                for rows, values in zip(found[1:], measured, strict=True)
            )
            found = Candidates(found.count + keep[mask], *written)
        return found

    found = jax.lax.fori_loop(
        0, -(-total // together), lambda i, found: look_at(i * together, found), found
    )
    return Candidates(found.count, *(rows[:capacity] for rows in found[1:]))


def _three_masks(
    params: Mapping[str, Any],
    shared: SharedImage,
    points: Array,
    number: Array,
    filters: Filters,
    grid: tuple[int, int],
    model: Sam,
    pace: Pace,
) -> tuple[Float[Array, "m lh lw"], Float[Array, " m"], Bool[Array, " m"]]:
    """Low-res logits, scores, and which scores pass, of all points in one list.

    Where no mask of a point passes, its logits are zeros.
    """
    variables = {"params": params}
    side = 4 * grid[0], 4 * grid[1]

    def draw(answered):
        logits = model.apply(variables, shared, answered, grid, method="draw_answered")
        return cast(Array, logits)[:, 1:]

    def skip(answered):
        return jnp.zeros((len(answered.mask_tokens), 3, *side))

    def answer(points, valid):
        tokens = jnp.stack([points, jnp.zeros_like(points)], axis=1)
        labels = jnp.broadcast_to(
            jnp.array([FOREGROUND, NOT_A_POINT]), (len(points), 2)
        )
        prompts = PromptInputs(tokens[None], labels[None])
        answered = model.apply(variables, shared, prompts, grid, method="answer")
        answered = cast(Answered, answered)
        scores = answered.iou_predictions[:, 1:]
        passes = (scores > filters.predicted_iou) | (filters.predicted_iou <= 0)
        passes &= valid[:, None]
        logits = jax.lax.cond(jnp.any(passes), draw, skip, answered)
        return logits, scores, passes

    # Groups that are worked on side by side; those without a valid point never are.
    together = pace.points * pace.abreast
    rounds = -(-len(points) // together)
    shape = rounds, pace.abreast, pace.points
    missing = rounds * together - len(points)
    points = jnp.pad(points, ((0, missing), (0, 0))).reshape(*shape, 2)
    valid = (jnp.arange(rounds * together) < number).reshape(shape)

    def answer_round(i, answers):
        found = [answer(points[i, j], valid[i, j]) for j in range(pace.abreast)]
        found = jax.tree.map(lambda *parts: jnp.stack(parts), *found)
        return jax.tree.map(lambda all_, one: all_.at[i].set(one), answers, found)

    nothing = (
        jnp.zeros((*shape, 3, *side)),
        jnp.zeros((*shape, 3)),
        jnp.zeros((*shape, 3), bool),
    )
    needed = -(-number // together)
    logits, scores, passes = jax.lax.fori_loop(0, needed, answer_round, nothing)
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
