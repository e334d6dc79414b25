"""COCO's three forms of a mask: polygons, run lengths, and run lengths as text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from samjax.data.formats.annotations import check_counts
from samjax.geometry.masks import text_to_counts
from samjax.geometry.polygons import polygons_to_counts


def read_mask(
    coded: Any, size: tuple[int, int], place: str
) -> tuple[Int[np.ndarray, " r"], str | None]:
    """Reads a mask in any of COCO's forms.

    Args:
        coded: a list of polygons, or the run lengths as an object.
        size: (h, w) of the image.
        place: whose mask it is, for errors.

    Returns:
        The run lengths, and their text, if there is one already.

    Raises:
        ValueError: it is none of the forms, damaged, or of another size.
    """
    if isinstance(coded, list) and coded:
        return _of_polygons(coded, size, place), None
    if not (isinstance(coded, Mapping) and coded):
        kind = ascii(coded)[:40]
        raise ValueError(
            f"{place}: got the segmentation {kind}, expected polygons or run lengths: "
            "a file of boxes only has no masks"
        )
    if coded.get("size") != list(size):
        raise ValueError(
            f"{place}: got a mask of {ascii(coded.get('size'))[:40]}, expected the "
            f"image's {list(size)}: size is (height, width)"
        )
    counts, text = coded.get("counts"), None
    if isinstance(counts, str):
        try:
            counts, text = text_to_counts(counts), counts
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    elif isinstance(counts, list) and all(
        type(run) is int and 0 <= run < 1 << 32 for run in counts
    ):
        counts = np.array(counts, np.int64)
    else:
        raise ValueError(
            f"{place}: got the counts {ascii(counts)[:40]}, expected text or a list of "
            "run lengths"
        )
    check_counts(counts, size, place)
    return counts, text


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number that a float can hold."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def are_numbers(value: Any, count: int) -> bool:
    """Whether a value from JSON is a list of so many numbers."""
    return (
        isinstance(value, list) and len(value) == count and all(map(is_number, value))
    )


def _of_polygons(
    coded: list[Any], size: tuple[int, int], place: str
) -> Int[np.ndarray, " r"]:
    polygons = []
    for ring in coded:
        if not isinstance(ring, list) or len(ring) % 2 or not all(map(is_number, ring)):
            raise ValueError(
                f"{place}: got the polygon {ascii(ring)[:40]}, expected a list of "
                "x, y, x, y, ..."
            )
        polygons.append(np.array(ring, np.float64).reshape(-1, 2))
    try:
        return polygons_to_counts(polygons, size)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
