"""Regions to make unrecognizable, and the protocol of what finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from samjax.geometry.boxes import box_iou

LARGE = 2000
"""Longer side, in pixels, above which images are searched at half their size too."""
_SAME = 0.3


class Region(NamedTuple):
    """A region of an image.

    Attributes:
        box: Left, top, right, bottom in pixels of the image.
        score: Confidence of the detector, from 0 to 1; 1 for a region drawn by hand.
        kind: What it is: `face`, `plate`, or any other word.
    """

    box: tuple[float, float, float, float]
    score: float
    kind: str


@runtime_checkable
class RegionDetector(Protocol):
    """Finds regions that show who somebody is."""

    def describe(self) -> Mapping[str, Any]:
        """Returns what identifies the detector in a report."""
        ...

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> Sequence[Region]:
        """Returns the regions of an image, in its pixels."""
        ...


def find_regions(
    detector: RegionDetector, image: UInt8[np.ndarray, "h w 3"]
) -> list[Region]:
    """Finds regions at the image's size, and of a large image at half of it too.

    A large face may be found at half the size only, and a small one at the full size
    only: a region of either is returned, the better one of two that overlap.

    Args:
        detector: The detector.
        image: The image.
    """
    height, width = image.shape[:2]
    found = list(detector.detect(image))
    if max(height, width) > LARGE:
        half = Image.fromarray(image).resize(
            (width // 2, height // 2), Image.Resampling.BOX
        )
        scale = np.array([width / half.width, height / half.height] * 2)
        found += [
            region._replace(box=tuple(np.multiply(region.box, scale).tolist()))
            for region in detector.detect(np.asarray(half))
        ]
    return suppress(found)


def suppress(regions: Sequence[Region], most: float = _SAME) -> list[Region]:
    """Drops regions that overlap a better one of the same kind.

    Args:
        regions: The regions.
        most: Largest IoU of two that are kept.
    """
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: -region.score):
        others = [other.box for other in kept if other.kind == region.kind]
        if not others or _ious(region.box, others).max() <= most:
            kept.append(region)
    return kept


def grow(
    box: Sequence[float], fraction: float, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Returns the pixels of a box that is grown on every side, within the image.

    Args:
        box: Left, top, right, bottom.
        fraction: Growth of each side, as a fraction of the box.
        size: (h, w) of the image.

    Returns:
        Left, top, right, bottom in whole pixels, right and bottom exclusive.
    """
    left, top, right, bottom = box
    more_x, more_y = fraction * (right - left), fraction * (bottom - top)
    height, width = size
    return (
        int(np.clip(np.floor(left - more_x), 0, width)),
        int(np.clip(np.floor(top - more_y), 0, height)),
        int(np.clip(np.ceil(right + more_x), 0, width)),
        int(np.clip(np.ceil(bottom + more_y), 0, height)),
    )


def _ious(
    box: Sequence[float], others: Sequence[Sequence[float]]
) -> Float[np.ndarray, " n"]:
    return np.asarray(
        box_iou(np.array([box], np.float64), np.array(others, np.float64))
    )[0]
