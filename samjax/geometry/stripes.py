"""Upscaling of low-res logits stripe by stripe, within compiled code.

The numbers are those of `resampling.upscale_logits`. A stripe is some rows of the
original image. Sums over masks are accumulated stripe by stripe without a whole mask in
memory: a stripe fits a core's cache, and stripes in which no logit can reach a threshold
are skipped.

All that depends on the image's size is in arrays whose shapes depend on the size rounded
up, so that images of about one size share compiled code.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from samjax.geometry.resampling import upscaling_bands


class Blocks(NamedTuple):
    """Map from low-res to original pixels along one axis, in blocks of one shape.

    Block b writes original pixels `b * size` to `(b + 1) * size` from low-res pixels
    `starts[b]` to `starts[b] + width`.

    Attributes:
        starts: Int "blocks", first low-res pixel that each block reads.
        weights: Float "blocks size width".
    """

    starts: np.ndarray | Array
    weights: np.ndarray | Array


def upscaling_blocks(
    sizes: tuple[int, int, int, int],
    padded_size: int,
    block_size: int,
    *,
    read_all: bool = False,
) -> Blocks:
    """Returns the two bilinear steps along one axis in blocks of one shape.

    Args:
        sizes: sides of the low-res, model, resized (cropped) and original frame.
        padded_size: original pixels with padding, whose logits are zeros; a multiple of
            the block size.
        block_size: original pixels of a block: rows of a stripe, or columns that are
            computed together.
        read_all: whether a block reads all low-res pixels and not only those that it
            needs, so that shapes do not depend on the factor between the two frames.

    Raises:
        ValueError: `padded_size` is too small or no multiple.
    """
    low_size, original_size = sizes[0], sizes[-1]
    if padded_size < original_size or padded_size % block_size:
        raise ValueError(
            f"got {padded_size=} for {original_size} pixels, expected a multiple of "
            f"{block_size} that is no smaller"
        )
    bands = upscaling_bands(sizes, block_size)
    widest = max(band.weights.shape[1] for band in bands)
    width = low_size if read_all else min(-(-widest // 4) * 4, low_size)
    blocks = padded_size // block_size
    starts = np.zeros(blocks, np.int32)
    weights = np.zeros((blocks, block_size, width), np.float32)
    for index, band in enumerate(bands):
        start = min(band.source.start, low_size - width)
        first = band.source.start - start
        rows, columns = band.weights.shape
        starts[index] = start
        weights[index, :rows, first : first + columns] = band.weights
    return Blocks(starts, weights)


def upscale_stripe(
    logits: Float[Array, "m lh lw"],
    down: Blocks,
    across: Blocks,
    index: Int[Array, ""] | int,
) -> Float[Array, "m s w"]:
    """Returns one stripe of logits at the padded original size; zeros in the padding.

    Args:
        logits: mask logits of the decoder.
        down: from `upscaling_blocks`, for rows.
        across: the same for columns.
        index: of the stripe, a block of `down`.
    """
    # Highest: the bfloat16 passes of a matrix unit would move the outline.
    highest = jax.lax.Precision.HIGHEST
    width = across.weights.shape[-1]
    read = jnp.asarray(across.starts)[:, None] + jnp.arange(width)[None]
    rows = jax.lax.dynamic_slice_in_dim(
        logits, jnp.asarray(down.starts)[index], down.weights.shape[-1], axis=1
    )
    wide = jnp.einsum(
        "bck,mlbk->mlbc", across.weights, rows[:, :, read], precision=highest
    ).reshape(*rows.shape[:2], -1)
    weights = jnp.asarray(down.weights)[index]
    return jnp.einsum("sl,mlw->msw", weights, wide, precision=highest)


def may_exceed(
    logits: Float[Array, "m lh lw"], down: Blocks, threshold: Float[Array, ""]
) -> Bool[Array, " stripes"]:
    """Whether any mask may have a logit above the threshold, for every stripe.

    Upscaled logits are weighted means of low-res ones, so they do not exceed the largest
    that a stripe reads, but for rounding, which `slack` allows for.
    """
    slack = 1e-4 * (1.0 + jnp.abs(threshold))
    row_exceeds = jnp.any(logits > threshold - slack, axis=(0, 2))
    read = jnp.asarray(down.starts)[:, None] + jnp.arange(down.weights.shape[-1])[None]
    return jnp.any(row_exceeds[read], axis=1)
