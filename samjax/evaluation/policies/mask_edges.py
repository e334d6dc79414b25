"""Edge maps from the masks of a promptable model (SAM, appendix D.2). Needs scipy.

The Sobel magnitude of the probability map of every mask, at its outer boundary; the
maximum over the masks; scaling to 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Boundary = Literal["outer", "both"]
"""The pixels at which the edges of a mask count: those outside of it that touch it by a
side or a corner, or these and those inside that touch its outside."""

_EIGHT = np.ones((3, 3), bool)


def edges_of_masks(
    probabilities: Iterable[Float[np.ndarray, "h w"]],
    size: tuple[int, int],
    boundary: Boundary = "outer",
) -> Float[np.ndarray, "h w"]:
    """Returns the edge map of masks, from 0 to 1; zeros without an edge.

    Args:
        probabilities: Probability of every mask at every pixel; a mask is the pixels
            above 0.5.
        size: (h, w) of the image.
        boundary: The pixels at which edges count.
    """
    edges = np.zeros(size, np.float32)
    for of_mask in probabilities:
        np.maximum(edges, _edges_of_mask(of_mask, boundary), out=edges)
    low, high = edges.min(), edges.max()
    return (edges - low) / (high - low) if high > low else np.zeros_like(edges)


def _edges_of_mask(
    probabilities: Float[np.ndarray, "h w"], boundary: Boundary
) -> Float[np.ndarray, "h w"]:
    from scipy.ndimage import binary_dilation, sobel

    edges = np.zeros(probabilities.shape, np.float32)
    window = _window(probabilities > 0.5)
    if window is None:
        return edges
    part = probabilities[window].astype(np.float32)
    mask = part > 0.5
    counted = np.asarray(binary_dilation(mask, _EIGHT), bool) & ~mask
    if boundary == "both":
        counted |= np.asarray(binary_dilation(~mask, _EIGHT), bool) & mask
    strengths = np.hypot(*(sobel(part, axis, mode="nearest") for axis in (0, 1)))
    edges[window] = np.where(counted, strengths, 0)
    return edges


def _window(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice] | None:
    """Returns the box of a mask with two pixels around it; None for an empty mask."""
    slices = []
    for axis in (1, 0):
        set_lines = np.flatnonzero(mask.any(axis=axis))
        if not len(set_lines):
            return None
        slices.append(slice(max(int(set_lines[0]) - 2, 0), int(set_lines[-1]) + 3))
    return slices[0], slices[1]
