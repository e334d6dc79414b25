"""Making regions unrecognizable: pixelated, then blurred, inside an ellipse.

A blur alone can be undone in part. Here the region is replaced by the means of a few cells
first, so that no more than these means is left of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFilter

from samjax.engine.privacy.regions import Region, grow

GROWTH = 0.21
"""Growth of a box on each side, since detectors leave out chins and ears. The ellipse in
the grown box holds all of the box before: its half axes are sqrt(2) times as long."""
CELLS = 8
"""Cells along the longer side of a region."""
# Deviation of the blur, as a fraction of the longer side.
_BLUR = 1 / 5


def blur_regions(
    image: UInt8[np.ndarray, "h w 3"],
    regions: Iterable[Region],
    *,
    growth: float = GROWTH,
    cells: int = CELLS,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the image with regions made unrecognizable.

    Args:
        image: The image.
        regions: The regions; parts outside the image are left out.
        growth: Growth of each box on every side, as a fraction of it.
        cells: Cells along the longer side of a region; at least 1.
    """
    result = Image.fromarray(image)
    for region in regions:
        left, top, right, bottom = grow(region.box, growth, image.shape[:2])
        width, height = right - left, bottom - top
        if width < 1 or height < 1:
            continue
        # From the original image: of regions that overlap, the second is not made of
        # what the first left.
        patch = Image.fromarray(image[top:bottom, left:right])
        few = _cells_of(width, height, cells)
        patch = patch.resize(few, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.NEAREST
        )
        patch = patch.filter(ImageFilter.GaussianBlur(_BLUR * max(width, height)))
        result.paste(patch, (left, top), _ellipse(width, height))
    return np.array(result)


def _cells_of(width: int, height: int, cells: int) -> tuple[int, int]:
    longer = max(width, height)
    return (
        min(width, max(1, round(cells * width / longer))),
        min(height, max(1, round(cells * height / longer))),
    )


def _ellipse(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, width - 1, height - 1), fill=255)
    return mask
