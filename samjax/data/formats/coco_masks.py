"""Parsing of COCO's three forms of a mask: polygons, RLE, and compressed RLE."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from samjax.data.formats.annotations import check_counts
from samjax.data.formats.guards import whole_number
from samjax.geometry.masks import text_to_counts, unite_counts
from samjax.geometry.polygons import polygons_to_counts


def read_mask(
    segmentation: Any, size: tuple[int, int], context: str
) -> tuple[Int[np.ndarray, " r"], str | None]:
    """Parses a mask in any of COCO's forms, as pycocotools, mmdetection and detectron2 do.

    Polygons are a list of rings x, y, x, y, ..., a single ring, or rings of pairs [x,
    y]. Rings of fewer than three corners, or of an odd number of coordinates, enclose
    no area and are skipped if there are others (`bad_rings` counts them).

    Args:
        segmentation: Polygons, RLE as an object, or a list of such objects.
        size: (h, w) of the image.
        context: Prefix of error messages, which names the mask.

    Returns:
        The RLE counts, and their compressed text if the file has it.

    Raises:
        ValueError: The segmentation has none of the forms, is damaged, or of another
            size.
    """
    try:
        if isinstance(segmentation, Mapping) and segmentation:
            return _counts_of_rle(segmentation, size)
        if not (isinstance(segmentation, list) and segmentation):
            raise ValueError(
                f"got the segmentation {ascii(segmentation)[:40]}, expected polygons or "
                "run lengths: a file of boxes only has no masks"
            )
        if all(isinstance(part, Mapping) for part in segmentation):
            parts = [_counts_of_rle(part, size)[0] for part in segmentation]
            return unite_counts(parts, size[0] * size[1]), None
        rings = [_corners(ring) for ring in _rings(segmentation)]
        sound = [ring for ring in rings if ring is not None]
        if not sound:
            raise ValueError(
                f"got the polygon {ascii(segmentation)[:40]}, expected x, y, x, y, ... of "
                "at least three corners"
            )
        return polygons_to_counts(sound, size), None
    except ValueError as error:
        raise ValueError(f"{context}: {error}") from error


def bad_rings(segmentation: Any) -> int:
    """Returns the number of polygon rings that `read_mask` skips."""
    if not isinstance(segmentation, list) or any(
        isinstance(part, Mapping) for part in segmentation
    ):
        return 0
    return sum(not _has_corners(ring) for ring in _rings(segmentation))


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number in the range of a float."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def are_numbers(value: Any, count: int) -> bool:
    """Whether a value from JSON is a list of `count` numbers."""
    return (
        isinstance(value, list) and len(value) == count and all(map(is_number, value))
    )


def _counts_of_rle(
    rle: Mapping[str, Any], size: tuple[int, int]
) -> tuple[Int[np.ndarray, " r"], str | None]:
    # Without a size, the sum of the run lengths is checked against the image's.
    own = rle.get("size", list(size))
    sides = [whole_number(side) for side in own] if isinstance(own, list) else []
    if sides != list(size):
        raise ValueError(
            f"got a mask of {ascii(own)[:40]}, expected the image's {list(size)}: "
            "size is (height, width)"
        )
    counts, text = rle.get("counts"), None
    if isinstance(counts, str):
        counts, text = text_to_counts(counts), counts
    else:
        runs = [whole_number(run) for run in counts] if isinstance(counts, list) else []
        if not runs or any(run is None or not 0 <= run < 1 << 32 for run in runs):
            raise ValueError(
                f"got the counts {ascii(counts)[:40]}, expected text or a list of run "
                "lengths"
            )
        counts = np.array(runs, np.int64)
    check_counts(counts, size)
    return counts, text


def _rings(polygons: list[Any]) -> list[Any]:
    """Returns the rings of polygons; a single ring may stand without a list around it."""
    is_flat = not any(isinstance(part, list) for part in polygons)
    are_pairs = all(isinstance(part, list) and len(part) == 2 for part in polygons)
    if is_flat or (
        are_pairs and not any(isinstance(part[0], list) for part in polygons)
    ):
        return [polygons]
    return polygons


def _has_corners(ring: list[Any]) -> bool:
    are_pairs = bool(ring) and isinstance(ring[0], list)
    return len(ring) >= 3 if are_pairs else len(ring) >= 6 and len(ring) % 2 == 0


def _corners(ring: Any) -> Float[np.ndarray, "n 2"] | None:
    """Returns the corners of a ring; None for one that encloses no area."""
    if not isinstance(ring, list):
        raise ValueError(  # noqa: TRY004
            f"got the polygon {ascii(ring)[:40]}, expected a list of x, y, x, y, ..."
        )
    if not _has_corners(ring):
        return None
    values = ring
    if isinstance(ring[0], list):
        values = [
            value
            for pair in ring
            for value in (pair if isinstance(pair, list) and len(pair) == 2 else [None])
        ]
    numbers = [value if is_number(value) else _parsed(value) for value in values]
    return np.array(numbers, np.float64).reshape(-1, 2)


def _parsed(value: Any) -> float:
    """Parses a number written as text, as NumPy does for pycocotools."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"got the coordinate {ascii(value)[:40]}, expected x, y, x, y, ... as "
            "finite numbers"
        )
    return number
