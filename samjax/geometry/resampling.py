"""Resampling of masks between frames: logits to the original image, masks to prompts.

Both directions are separable, so each is two small matrices: `rows @ mask @ columns.T`.
The released code reaches the original size in two bilinear steps (low-res to model,
crop the padding, model to original); because every step is separable and linear, the
two steps compose into one matrix per axis with at most four entries in a row, without
the model-sized image between them. Rounding differs from the reference by about 1e-6 of
the logits' range.

This runs on the host on purpose (`stripes` is the form for compiled code, which
everything mode needs). Compiled code has static shapes, and the shape here is that of
every new image; moving low-res logits off a device is also far cheaper than moving
masks. The matrices are applied in small blocks of output rows that touch only
the few input rows they depend on: about 3 ms for three masks of 1800 x 1200 on one
core, where two dense products take 25 ms, and PyTorch's two steps 10 ms on two cores.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from samjax.geometry.frame import Frame

PROMPT_LOGIT = 10.0
"""Logit of an external mask well inside the object (negated: well outside).

Confident logits of the released models are of this size.
"""


def upscale_logits(
    logits: Float[np.ndarray, "m lh lw"], frame: Frame
) -> Float[np.ndarray, "m h w"]:
    """Upscales low-res mask logits to the size of the original image.

    Equals PyTorch's `interpolate` (bilinear, half-pixel centres, no antialiasing) to
    the model's input size, the crop of the padding, and `interpolate` to the original
    size.

    Args:
        logits: mask logits of the decoder.
        frame: the frame of the image they belong to.

    Returns:
        float32 logits in the original frame.
    """
    masks = np.empty((len(logits), *frame.original_size), np.float32)
    for index, stripe, values in _upscaled_stripes(logits, frame):
        masks[index, stripe] = values
    return masks


def upscale_masks(
    logits: Float[np.ndarray, "m lh lw"], frame: Frame, threshold: float = 0.0
) -> Bool[np.ndarray, "m h w"]:
    """Upscales low-res mask logits to the original image, and thresholds them.

    A pixel is in the mask where its logit is strictly greater than `threshold`, as in
    the reference. Equal to `upscale_logits(...) > threshold`, without the float image.
    """
    masks = np.empty((len(logits), *frame.original_size), bool)
    for index, stripe, values in _upscaled_stripes(logits, frame):
        np.greater(values, threshold, out=masks[index, stripe])
    return masks


def mask_to_prompt(
    mask: Bool[np.ndarray, "h w"],
    frame: Frame,
    low_res_size: int,
    *,
    logit: float = PROMPT_LOGIT,
) -> Float[np.ndarray, "l l"]:
    """Converts a binary mask of the original image to a mask prompt.

    A mask prompt is logits in the low-res frame, padding included. Each of its pixels
    becomes `logit * (2 * covered - 1)`, where `covered` is its share that the mask
    covers, so that the outline is kept to a fraction of a low-res pixel; padding counts
    as not covered. The model was trained on its own masks: an external mask alone is a
    weak prompt, and works better with a box or a point.

    Args:
        mask: true on the object.
        frame: the frame of the image it belongs to.
        low_res_size: side of the model's low-res masks (256 for all released models).
        logit: the prompt's confidence.

    Raises:
        ValueError: the mask is not of the image's original size.
    """
    if mask.shape != frame.original_size:
        raise ValueError(
            f"got a mask of {mask.shape} for an image of {frame.original_size}: "
            "pass a mask with the height and width of the original image"
        )
    down = _coverage_bands(
        frame.original_size[0], frame.resized_size[0], frame.model_size, low_res_size
    )
    across = _coverage_bands(
        frame.original_size[1], frame.resized_size[1], frame.model_size, low_res_size
    )
    rows = np.empty((low_res_size, mask.shape[1]), np.float32)
    for band in down:
        np.matmul(
            band.weights,
            mask[band.source].astype(np.float32),
            out=rows[band.target],
        )
    covered = np.empty((low_res_size, low_res_size), np.float32)
    for band in across:
        covered[:, band.target] = rows[:, band.source] @ band.weights.T
    return (logit * (2.0 * covered - 1.0)).astype(np.float32)


class Band(NamedTuple):
    """Consecutive rows of a matrix, restricted to the columns that are not zero."""

    target: slice
    source: slice
    weights: np.ndarray


# One block's product fits a core's cache, and is below the size at which OpenBLAS uses
# its threads (rows * columns * inner = 2 ** 18): threads for products this small cost
# several times the time they save, all the more beside XLA's own.
_BLOCK = 16
_WIDE = 1 << 15


def _upscaled_stripes(
    logits: np.ndarray, frame: Frame
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yields (mask index, slice of original rows, float32 logits of these rows)."""
    _, low_height, low_width = logits.shape
    height, width = frame.original_size
    resized_height, resized_width = frame.resized_size
    across = upscaling_bands(
        (low_width, frame.model_size, resized_width, width), _BLOCK
    )
    down = upscaling_bands(
        (low_height, frame.model_size, resized_height, height),
        max(2, min(_BLOCK, _WIDE // width)),
    )
    wide = np.empty((low_height, width), np.float32)
    for index, mask in enumerate(np.ascontiguousarray(logits, np.float32)):
        for band in across:
            np.matmul(mask[:, band.source], band.weights.T, out=wide[:, band.target])
        for band in down:
            yield index, band.target, band.weights @ wide[band.source]


@functools.lru_cache(maxsize=64)
def upscaling_bands(sizes: tuple[int, int, int, int], block: int) -> tuple[Band, ...]:
    """Returns the two bilinear steps along one axis as one banded matrix.

    Args:
        sizes: sides of the low-res, model, resized (cropped) and original frame.
        block: rows in a band.
    """
    low_size, model_size, resized_size, original_size = sizes
    taps, shares = _bilinear_taps(low_size, model_size)
    outer_taps, outer_shares = _bilinear_taps(resized_size, original_size)
    # (original, 2, 2): the two model pixels of an original pixel, and their two each.
    taps = taps[outer_taps].reshape(original_size, 4)
    weights = (shares[outer_taps] * outer_shares[..., None]).reshape(original_size, 4)
    matrix = np.zeros((original_size, low_size))
    for tap in range(4):
        # One tap at a time, because several taps of a row may be the same column.
        matrix[np.arange(original_size), taps[:, tap]] += weights[:, tap]
    return _bands(matrix, taps.min(axis=1), taps.max(axis=1), block)


def _bilinear_taps(source_size: int, target_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes PyTorch's bilinear `interpolate` along one axis (align_corners=False).

    The sampling positions are float32, rounded once, as in PyTorch's kernels: at 1024
    pixels they are off by up to 5e-5 pixel, and exact positions would differ by that.

    Returns:
        The two source pixels of every target pixel, and their weights, (target, 2).
    """
    step = np.float64(np.float32(source_size) / np.float32(target_size))
    positions = (step * (np.arange(target_size) + 0.5) - 0.5).astype(np.float32)
    positions = np.maximum(positions, 0.0)
    near = np.minimum(positions.astype(np.int64), source_size - 1)
    far = np.minimum(near + 1, source_size - 1)
    share = (positions - near).astype(np.float64)
    return np.stack([near, far], axis=1), np.stack([1.0 - share, share], axis=1)


@functools.lru_cache(maxsize=64)
def _coverage_bands(
    original_size: int, resized_size: int, model_size: int, low_size: int
) -> tuple[Band, ...]:
    """Returns a matrix whose row i is low-res pixel i's share of each original pixel."""
    pixels_per_cell = (model_size / low_size) * (original_size / resized_size)
    starts = np.arange(low_size) * pixels_per_cell
    ends = starts + pixels_per_cell
    pixels = np.arange(original_size)
    overlap = np.minimum(ends[:, None], pixels + 1) - np.maximum(
        starts[:, None], pixels
    )
    # Cells of the padding cover no pixel; they read the last one at weight 0.
    first = np.minimum(starts.astype(np.int64), original_size - 1)
    last = np.minimum(np.ceil(ends).astype(np.int64), original_size - 1)
    return _bands(np.maximum(overlap, 0.0) / pixels_per_cell, first, last, block=4)


def _bands(
    matrix: np.ndarray, first: np.ndarray, last: np.ndarray, block: int
) -> tuple[Band, ...]:
    """Divides a matrix, zero outside columns first..last of each row, into bands."""
    bands = []
    for start in range(0, len(matrix), block):
        target = slice(start, min(start + block, len(matrix)))
        source = slice(int(first[target].min()), int(last[target].max()) + 1)
        weights = np.ascontiguousarray(matrix[target, source], np.float32)
        bands.append(Band(target, source, weights))
    return tuple(bands)
