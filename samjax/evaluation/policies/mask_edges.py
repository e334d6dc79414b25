"""Edge maps from the masks of a promptable model (SAM, appendix D.2). Needs scipy.

The Sobel magnitude of the probability map of every mask, at its outer boundary; the
maximum over the masks; scaling to 0 to 1; suppression of pixels beside a ridge.
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


def suppress_beside_ridges(
    edges: Float[np.ndarray, "h w"], sigma: float = 1.0
) -> Float[np.ndarray, "h w"]:
    """Returns an edge map with the pixels set to 0 that are no maximum across a ridge.

    The direction across is that of the strongest downward curvature of the smoothed map
    (the eigenvector of the least eigenvalue of its Hessian). A pixel stays if its
    smoothed strength is not below that of the points one pixel away on both sides,
    interpolated linearly.

    Args:
        edges: The edge map.
        sigma: Standard deviation of the Gaussian that smooths it, in pixels.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    smooth = gaussian_filter(edges.astype(np.float64), sigma, mode="nearest")
    down, across = np.gradient(smooth)
    yy, yx = np.gradient(down)
    xx = np.gradient(across)[1]
    # The angle of the largest eigenvalue's direction from the x axis, and a right angle.
    angle = 0.5 * np.arctan2(2 * yx, xx - yy) + np.pi / 2
    rows, columns = np.indices(edges.shape)
    # Beside a straight ridge the map curves upwards across it and not at all along it.
    least = (xx + yy) / 2 - np.hypot((xx - yy) / 2, yx)
    is_maximum = (edges > 0) & (least < -1e-6 * smooth.max())
    for sign in (1, -1):
        beside = [rows + sign * np.sin(angle), columns + sign * np.cos(angle)]
        is_maximum &= smooth >= map_coordinates(smooth, beside, order=1, mode="nearest")
    return np.where(is_maximum, edges, 0).astype(edges.dtype)


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
