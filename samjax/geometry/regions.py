"""Removal of small holes and islands of masks, by 8-connected components.

Needs OpenCV: the extra `eval` or `train`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def fill_small_holes(
    mask: Bool[np.ndarray, "h w"], area: int
) -> Bool[np.ndarray, "h w"]:
    """Fills components of the background that have fewer than `area` pixels.

    Returns:
        The mask; the argument itself if no hole was filled.
    """
    labels, areas = _components(~mask)
    is_small = areas < area
    if not is_small.any():
        return mask
    return mask | np.append(False, is_small)[labels]


def remove_small_islands(
    mask: Bool[np.ndarray, "h w"], area: int, *, keep_largest: bool = True
) -> Bool[np.ndarray, "h w"]:
    """Removes components that have fewer than `area` pixels.

    Args:
        mask: the mask.
        area: components of at least this many pixels stay.
        keep_largest: whether the largest component stays where all are smaller.

    Returns:
        The mask; the argument itself if no island was removed.
    """
    labels, areas = _components(mask)
    stays = areas >= area
    if stays.all():
        return mask
    if keep_largest and not stays.any():
        stays[np.argmax(areas)] = True
    return np.append(False, stays)[labels]


def clean_small_regions(
    mask: Bool[np.ndarray, "h w"], area: int, *, keep_largest: bool = True
) -> Bool[np.ndarray, "h w"]:
    """Fills small holes and removes small islands; arguments as of the two.

    Returns:
        The mask; the argument itself if no pixel changed.
    """
    filled = fill_small_holes(mask, area)
    return remove_small_islands(filled, area, keep_largest=keep_largest)


def _components(
    region: Bool[np.ndarray, "h w"],
) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, " n"]]:
    """Labels components from 1 on, 0 outside, and returns the area of each.

    Raises:
        ImportError: OpenCV is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "cleaning small regions of masks needs OpenCV: run"
            " pip install 'samjax[eval]'"
        ) from error
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        region.astype(np.uint8), connectivity=8
    )
    return labels, statistics[1:, cv2.CC_STAT_AREA]
