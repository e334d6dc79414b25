"""Non-maximum suppression of edge maps across their ridges. Needs scipy.

The paper suppresses its edge maps as Canny does (SAM, section 7.2), without details.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

EdgeNms = Literal["hessian", "structured", "none"]
"""Kinds of suppression: `suppress_by_hessian`, `suppress_structured`, or none."""


def suppress(
    edges: Float[np.ndarray, "h w"], kind: EdgeNms
) -> Float[np.ndarray, "h w"]:
    """Returns an edge map after suppression of a kind.

    Args:
        edges: The edge map.
        kind: The kind.
    """
    if kind == "none":
        return edges
    return (suppress_by_hessian if kind == "hessian" else suppress_structured)(edges)


def suppress_by_hessian(
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
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(edges.astype(np.float64), sigma, mode="nearest")
    yy, yx, xx = _second_derivatives(smooth)
    # The angle of the largest eigenvalue's direction from the x axis, and a right angle.
    angle = 0.5 * np.arctan2(2 * yx, xx - yy) + np.pi / 2
    # Beside a straight ridge the map curves upwards across it and not at all along it.
    least = (xx + yy) / 2 - np.hypot((xx - yy) / 2, yx)
    is_ridge = (edges > 0) & (least < -1e-6 * smooth.max())
    is_maximum = is_ridge & (smooth >= _beside(smooth, angle))
    return np.where(is_maximum, edges, 0).astype(edges.dtype)


def suppress_structured(
    edges: Float[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """Returns an edge map suppressed as the toolbox of structured edges does.

    That of Dollar and Zitnick (2015), which evaluations of learned detectors use: the map
    is smoothed by a triangle of radius 1; the direction across an edge is that of the
    second derivatives of the map smoothed by a triangle of radius 4; a pixel becomes 0 if
    a point one pixel away on either side, interpolated linearly, is stronger by more than
    1 %. Towards the border of the image strengths fall to 0 over five pixels.

    Args:
        edges: The edge map.
    """
    smooth = _triangle(edges.astype(np.float64), 1)
    yy, yx, xx = _second_derivatives(_triangle(smooth, 4))
    # The toolbox has sign(-yx), whose 0 leaves level lines as they are.
    sign = np.where(yx > 0, -1, 1)
    angle = np.mod(np.arctan(yy * sign / (xx + 1e-5)), np.pi)
    kept = np.where(1.01 * smooth >= _beside(smooth, angle), smooth, 0)
    for axis, size in enumerate(edges.shape):
        steps = np.arange(size)
        ramp = np.minimum(np.minimum(steps, steps[::-1]) / 5, 1)
        kept *= ramp[:, None] if axis == 0 else ramp[None]
    return kept.astype(edges.dtype)


def _second_derivatives(
    values: Float[np.ndarray, "h w"],
) -> tuple[
    Float[np.ndarray, "h w"], Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]
]:
    """Returns the second derivatives down, down and across, across."""
    down, across = np.gradient(values)
    yy, yx = np.gradient(down)
    return yy, yx, np.gradient(across)[1]


def _triangle(
    values: Float[np.ndarray, "h w"], radius: int
) -> Float[np.ndarray, "h w"]:
    """Returns a map that is smoothed by a triangle on both axes."""
    from scipy.ndimage import correlate1d

    kernel = radius + 1 - np.abs(np.arange(-radius, radius + 1.0))
    for axis in (0, 1):
        values = correlate1d(values, kernel / kernel.sum(), axis, mode="reflect")
    return values


def _beside(
    values: Float[np.ndarray, "h w"], angle: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Returns the larger value one pixel away along an angle from the x axis."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.indices(values.shape)
    sides = (
        map_coordinates(
            values,
            [rows + sign * np.sin(angle), columns + sign * np.cos(angle)],
            order=1,
            mode="nearest",
        )
        for sign in (1, -1)
    )
    return np.maximum(*sides)
