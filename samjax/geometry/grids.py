"""Point grids and overlapping crops of automatic mask generation.

SAM is prompted with a regular grid of points over the image and, for small objects,
again in crops of the image with grids of their own (SAM, appendix B). The numbers here
are those of the released generator, to the pixel.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int


def point_grid(points_per_side: int) -> Float[np.ndarray, "n 2"]:
    """Returns the centres of n x n cells of the unit square, as (x, y), row by row.

    Raises:
        ValueError: there is no point on a side.
    """
    if points_per_side < 1:
        raise ValueError(f"got {points_per_side=}, expected at least 1")
    half = 1 / (2 * points_per_side)
    # Not (i + 0.5) / n, whose last bits differ from the release's.
    centres = np.linspace(half, 1 - half, points_per_side)
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def point_grids(
    points_per_side: int, crop_layers: int, downscale_factor: int
) -> tuple[Float[np.ndarray, "n 2"], ...]:
    """Returns the grid of the whole image, then that of each layer of crops.

    Args:
        points_per_side: points along a side of the whole image.
        crop_layers: layers of crops.
        downscale_factor: each layer has its predecessor's points per side over this,
            as smaller crops hold fewer objects.

    Raises:
        ValueError: a layer would have no points.
    """
    sides = [
        int(points_per_side / downscale_factor**layer)
        for layer in range(crop_layers + 1)
    ]
    if min(sides) < 1:
        raise ValueError(
            f"got {points_per_side=} over {downscale_factor=} in {crop_layers} crop "
            f"layers, which are {sides} points a side: use more points, a smaller "
            "factor or fewer layers"
        )
    return tuple(map(point_grid, sides))


def crop_boxes(
    size: tuple[int, int], crop_layers: int, overlap_ratio: float
) -> tuple[Int[np.ndarray, "c 4"], Int[np.ndarray, " c"]]:
    """Returns the whole image, then the crops of every layer, as XYXY boxes.

    Layer i has 2^i crops a side, column by column. Neighbours overlap by `overlap_ratio`
    times the image's short side in the first layer, half as much in the second, and so
    on, along both axes alike.

    Args:
        size: (h, w) of the image.
        crop_layers: layers beside the whole image.
        overlap_ratio: 512 / 1500 in the release.

    Returns:
        The boxes, right and bottom exclusive, and the layer of each. Crops that would
        have no pixel, where the release fails, are left out.
    """
    height, width = size
    boxes, layers = [(0, 0, width, height)], [0]
    for layer in range(1, crop_layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / per_side))
        crop_width, crop_height = (
            math.ceil((overlap * (per_side - 1) + side) / per_side)
            for side in (width, height)
        )
        for left in range(per_side):
            for top in range(per_side):
                x, y = left * (crop_width - overlap), top * (crop_height - overlap)
                right, bottom = min(x + crop_width, width), min(y + crop_height, height)
                # In images of few pixels the last crops would start outside the image.
                if x < right and y < bottom:
                    boxes.append((x, y, right, bottom))
                    layers.append(layer)
    return np.array(boxes), np.array(layers)
