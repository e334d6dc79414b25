"""Targets of the heat map, from the masks of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from samjax.evaluation.policies.click_rule import interior_distance
from samjax.geometry.frame import Frame

# Deviation of the target around a centre, as a part of the distance from the centre to the
# object's border, and at least so many cells.
_SPREAD = 0.35
_LEAST_SPREAD = 0.7


class HeatTarget(NamedTuple):
    """Target of an image.

    Attributes:
        heat: 1 at the cells of centres, less around them.
        weights: Weight of each cell in the loss.
    """

    heat: Float[np.ndarray, "h w"]
    weights: Float[np.ndarray, "h w"]


def centre_of(
    mask: Bool[np.ndarray, "h w"],
) -> tuple[float, float, float]:
    """Returns the interior centre of a mask: x, y of the pixel's middle, and its distance
    to the border, in pixels."""
    distance = interior_distance(mask)
    y, x = np.unravel_index(np.argmax(distance), distance.shape)
    return float(x) + 0.5, float(y) + 0.5, float(distance[y, x])


def heat_target(
    masks: Sequence[Bool[np.ndarray, "h w"]],
    frame: Frame,
    cells: int,
    *,
    qualities: Sequence[float] | None = None,
    background: float = 1.0,
) -> HeatTarget:
    """Returns the target of an image.

    Args:
        masks: The annotated masks.
        frame: Frame of the image.
        cells: Side of the heat map in cells.
        qualities: IoU that the model's best mask has after a click on each centre: where
            it fails there is nothing to gain by prompting. None for 1 everywhere.
        background: Weight of cells outside all masks. Below 1 where not every object has
            a mask: such a cell may be the centre of an object that nobody annotated.
    """
    stride = frame.model_size / cells
    rows, columns = np.mgrid[:cells, :cells]
    heat = np.zeros((cells, cells), np.float32)
    weights = np.zeros((cells, cells), np.float32)
    height, width = (int(np.ceil(side / stride)) for side in frame.resized_size)
    weights[:height, :width] = background
    weights[_cells_inside(masks, frame, cells)] = 1.0
    qualities = [1.0] * len(masks) if qualities is None else qualities
    centres = []
    for mask, quality in zip(masks, qualities, strict=True):
        x, y, distance = centre_of(mask)
        if distance == 0:
            continue
        (at,) = frame.points_to_model(np.array([[x, y]])) / stride
        column, row = np.minimum(at.astype(int), cells - 1)
        spread = _SPREAD * distance * frame.scale[0] / stride
        spread = max(_LEAST_SPREAD, float(spread))
        square = (columns - column) ** 2 + (rows - row) ** 2
        heat = np.maximum(heat, np.exp(-square / (2 * spread**2)))
        centres.append((row, column, quality))
    # Last, since the surroundings of another centre do not count there; of two objects
    # with one centre the one that the model can segment.
    for row, column, quality in sorted(centres, key=lambda centre: centre[2]):
        heat[row, column], weights[row, column] = 1.0, quality
    return HeatTarget(heat.astype(np.float32), weights)


def _cells_inside(
    masks: Sequence[Bool[np.ndarray, "h w"]], frame: Frame, cells: int
) -> Bool[np.ndarray, "c c"]:
    """Returns which cells have their middle in a mask."""
    inside = np.zeros((cells, cells), bool)
    if not masks:
        return inside
    covered = np.any(np.stack(masks), axis=0)
    stride = frame.model_size / cells
    height, width = frame.original_size
    middles = (np.arange(cells) + 0.5) * stride
    columns, rows = (middles / scale for scale in frame.scale)
    is_column, is_row = columns < width, rows < height
    part = covered[np.ix_(rows[is_row].astype(int), columns[is_column].astype(int))]
    inside[np.ix_(is_row, is_column)] = part
    return inside
