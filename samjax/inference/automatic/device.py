"""Compiled inner step of automatic mask generation: points to masks that pass.

Each point prompt gives three masks (SAM, appendix B). They are filtered by predicted
IoU first, before anything is upscaled: where no mask of a point passes, not even its
low-res logits are computed. The rest are upscaled to the crop's size stripe by stripe,
which gives stability scores, boxes and bits; masks that pass leave the device as bits.
Memory is that of one chunk of points, however many points there are.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from samjax.geometry.boxes import box_of_occupied
from samjax.geometry.stripes import Blocks, may_exceed, upscale_stripe
from samjax.inference.grouping import map_groups
from samjax.models.amortized import AmortizedDecoder, PreparedImage
from samjax.models.prompt_encoder import FOREGROUND, NOT_A_POINT, PromptInputs
from samjax.models.sam import Sam


class Filters(NamedTuple):
    """Thresholds of a mask; arrays, so that changing one compiles nothing.

    Attributes:
        predicted_iou: Float "", lower bound, exclusive; 0 or less passes all.
        stability: Float "", lower bound of the stability score, inclusive; 0 or less
            passes all.
        stability_offset: Float "", shift of the mask threshold, up and down.
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


class ChunkMasks(NamedTuple):
    """Masks of a chunk of points that passed, in the order of points and their masks.

    Only the first `count` rows are masks. Where `count` exceeds the number of rows, the
    masks beyond are lost, and the call is to be repeated with a larger capacity.

    Attributes:
        count: Int "", number of masks that passed.
        source: Int "n", 3 * index of the point + index of its mask.
        predicted_iou: Float "n".
        stability: Float "n".
        boxes: Int "n 4", inclusive XYXY in the frame of the crop.
        bits: Uint8 "n h/8 w", eight rows to a byte, the uppermost in the highest bit.
            Rows are packed since COCO's run lengths go down columns
            (`run_lengths.counts_of_packed`).
    """

    count: Array
    source: Array
    predicted_iou: Array
    stability: Array
    boxes: Array
    bits: Array


# Tolerance in pixels for a box that ends at an edge, as in the release.
EDGE_TOLERANCE = 20.0


class GroupSizes(NamedTuple):
    """Sizes of the groups of computations; static, and without influence on results.

    Attributes:
        points: points of one decoder call. Their low-res logits are computed together,
            or not at all where none of their masks passes.
        masks: masks that are upscaled to the crop's size together.
        num_parallel: independent groups in one loop iteration. Independent work keeps
            the cores of a CPU busier than every operation shared between them.
    """

    points: int
    masks: int
    num_parallel: int


@functools.partial(jax.jit, static_argnames=("model",))
def prepare_image(
    params: Mapping[str, Any], features: Float[Array, "gh gw c"], *, model: Sam
) -> PreparedImage:
    """Computes the decoder's image side of an embedded crop, which all points share."""
    return AmortizedDecoder(model).prepare_image(params, features)


@functools.partial(jax.jit, static_argnames=("model", "capacity", "group_sizes"))
def find_candidates(
    params: Mapping[str, Any],
    prepared: PreparedImage,
    points: Float[Array, "n 2"],
    num_valid: Int[Array, ""],
    down: Blocks,
    across: Blocks,
    filters: Filters,
    *,
    model: Sam,
    capacity: int,
    group_sizes: GroupSizes,
) -> ChunkMasks:
    """Predicts three masks for every point and returns those that pass the filters.

    Args:
        params: of the model.
        prepared: the decoder's image side, from `prepare_image`.
        points: in the model's frame.
        num_valid: number of valid points; those after them are padding.
        down: from `upscaling_blocks`, for rows of the crop; a block is a stripe.
        across: the same for columns.
        filters: thresholds.
        model: the model.
        capacity: rows of the result.
        group_sizes: points and masks that are computed together.
    """
    logits, scores, passes = _three_masks(
        params, prepared, points, num_valid, filters, model, group_sizes
    )
    # Indices of the masks that pass first, in their order: the loop ends after them.
    queue = jnp.argsort(~passes, stable=True).astype(jnp.int32)
    total = jnp.sum(passes)
    # Padding for a last group that is only partly filled.
    per_round = group_sizes.masks * group_sizes.num_parallel
    queue = jnp.concatenate([queue, jnp.zeros(per_round, jnp.int32)])
    height = down.weights.shape[0] * down.weights.shape[1]
    width = across.weights.shape[0] * across.weights.shape[1]
    # One row more than the capacity: masks that do not pass, and those beyond the
    # capacity, are written to it, since a static program writes every mask somewhere.
    masks = ChunkMasks(
        count=jnp.int32(0),
        source=jnp.zeros(capacity + 1, jnp.int32),
        predicted_iou=jnp.zeros(capacity + 1),
        stability=jnp.zeros(capacity + 1),
        boxes=jnp.zeros((capacity + 1, 4), jnp.int32),
        bits=jnp.zeros((capacity + 1, height // 8, width), jnp.uint8),
    )

    def add_round(first, masks):
        source = jax.lax.dynamic_slice(queue, (first,), (per_round,))
        groups = logits[source].reshape(
            group_sizes.num_parallel, group_sizes.masks, *logits.shape[1:]
        )
        measured = [_measure(group, down, across, filters) for group in groups]
        stability, boxes, bits = jax.tree.map(
            lambda *parts: jnp.concatenate(parts), *measured
        )
        keep = first + jnp.arange(per_round) < total
        keep &= (stability >= filters.stability) | (filters.stability <= 0)
        keep &= ~_is_cut_by_crop(boxes, filters)
        measured = (source, scores[source], stability, boxes, bits)
        return _append(masks, keep, measured)

    masks = jax.lax.fori_loop(
        0,
        -(-total // per_round),
        lambda i, masks: add_round(i * per_round, masks),
        masks,
    )
    return ChunkMasks(masks.count, *(rows[:capacity] for rows in masks[1:]))


def _append(
    masks: ChunkMasks, keep: Bool[Array, " m"], measured: tuple[Array, ...]
) -> ChunkMasks:
    """Appends the masks to keep; the last row of `masks` takes all others."""
    capacity = len(masks.source) - 1
    for mask in range(len(keep)):
        row = jnp.where(keep[mask], jnp.minimum(masks.count, capacity), capacity)
        # Slices are written in place; XLA:CPU scatters element by element.
        written = (
            jax.lax.dynamic_update_slice_in_dim(rows, values[mask][None], row, 0)
            for rows, values in zip(masks[1:], measured, strict=True)
        )
        masks = ChunkMasks(masks.count + keep[mask], *written)
    return masks


def _three_masks(
    params: Mapping[str, Any],
    prepared: PreparedImage,
    points: Array,
    num_valid: Array,
    filters: Filters,
    model: Sam,
    group_sizes: GroupSizes,
) -> tuple[Float[Array, "m lh lw"], Float[Array, " m"], Bool[Array, " m"]]:
    """Returns the three masks of all points, in one list.

    Returns:
        Low-res logits, zeros where no mask of a group of points passes; predicted IoUs;
        and whether they pass.
    """
    decoder = AmortizedDecoder(model)

    def passing(scores, valid):
        passes = (scores > filters.predicted_iou) | (filters.predicted_iou <= 0)
        return passes & valid[:, None]

    def decode(points, valid):
        # A point alone is followed by a "not a point" token, as in the reference.
        tokens = jnp.stack([points, jnp.zeros_like(points)], axis=1)
        labels = jnp.broadcast_to(
            jnp.array([FOREGROUND, NOT_A_POINT]), (len(points), 2)
        )
        prediction = decoder.decode_prompts(
            params,
            prepared,
            PromptInputs(tokens[None], labels[None]),
            masks=slice(1, None),
            draw_if=lambda scores: jnp.any(passing(scores[0], valid)),
        )
        scores = prediction.iou_predictions[0]
        return prediction.low_res_logits[0], scores, passing(scores, valid)

    is_valid = jnp.arange(len(points)) < num_valid
    outputs = map_groups(
        lambda rows: decode(*rows),
        (points, is_valid),
        num_valid,
        size=group_sizes.points,
        num_parallel=group_sizes.num_parallel,
    )
    # "p 3 ..." to "m ...": the three masks of a point follow each other.
    logits, scores, passes = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in outputs)
    return logits, scores, passes


def _measure(
    logits: Float[Array, "m lh lw"], down: Blocks, across: Blocks, filters: Filters
) -> tuple[Float[Array, " m"], Int[Array, "m 4"], UInt8[Array, "m h8 w"]]:
    """Returns stability scores, boxes and bits of masks at the crop's padded size.

    Stripes in which no logit can exceed the lowest threshold are skipped.
    """
    stripes, rows, _ = down.weights.shape
    width = across.weights.shape[0] * across.weights.shape[1]
    m = len(logits)
    offset = filters.stability_offset
    lowest = jnp.minimum(-jnp.abs(offset), 0.0)
    is_needed = may_exceed(logits, down, lowest)
    in_width = jnp.arange(width) < filters.size[1]

    def measure_stripe(index, totals):
        higher, lower, columns, in_rows, bits = totals
        top = index * rows
        in_height = top + jnp.arange(rows) < filters.size[0]
        stripe = upscale_stripe(logits, down, across, index)
        inside = _pack_rows(in_height[None, :, None] & in_width[None, None])

        def above(threshold):
            # Packed before it is counted: sums then read one bit a pixel.
            return _pack_rows(stripe > threshold) & inside

        mask = above(0.0)
        return (
            higher + _count_bits(above(offset)),
            lower + _count_bits(above(-offset)),
            columns | jax.lax.reduce_or(mask, axes=(1,)),
            jax.lax.dynamic_update_slice(
                in_rows, jax.lax.reduce_or(mask, axes=(2,)), (0, top // 8)
            ),
            jax.lax.dynamic_update_slice(bits, mask, (0, top // 8, 0)),
        )

    def measure_if_needed(index, totals):
        return jax.lax.cond(
            is_needed[index], lambda t: measure_stripe(index, t), lambda t: t, totals
        )

    totals = (
        jnp.zeros(m, jnp.int32),
        jnp.zeros(m, jnp.int32),
        jnp.zeros((m, width), jnp.uint8),
        jnp.zeros((m, stripes * rows // 8), jnp.uint8),
        jnp.zeros((m, stripes * rows // 8, width), jnp.uint8),
    )
    higher, lower, columns, in_rows, bits = jax.lax.fori_loop(
        0, stripes, measure_if_needed, totals
    )
    in_rows = jnp.unpackbits(in_rows, axis=1).view(bool)
    # 0 / 0 is NaN, as in the release, and passes no threshold.
    stability = higher.astype(jnp.float32) / lower.astype(jnp.float32)
    return stability, box_of_occupied(columns > 0, in_rows), bits


def _pack_rows(mask: Bool[Array, "m h w"]) -> UInt8[Array, "m h8 w"]:
    """Packs eight rows to a byte, as `jnp.packbits(mask, axis=1)`, in one pass."""
    m, height, width = mask.shape
    rows = mask.astype(jnp.uint8).reshape(m, height // 8, 8, width)
    return functools.reduce(
        operator.or_, [rows[:, :, bit] << (7 - bit) for bit in range(8)]
    )


def _count_bits(packed: UInt8[Array, "m h8 w"]) -> Int[Array, " m"]:
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
