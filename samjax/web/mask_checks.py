"""Masks from outside: checked as run lengths, without looking at their pixels."""

from dataclasses import dataclass

import numpy as np

from samjax.data.formats.annotations import box_of_counts, check_counts
from samjax.geometry.masks import text_to_counts
from samjax.web.refusals import invalid
from samjax.web.schemas import RunLengths

# Of a run length in COCO's text, in characters.
_LONGEST_NUMBER = 7


@dataclass(frozen=True, kw_only=True)
class CheckedMask:
    """A mask that is what it says.

    Attributes:
        size: (h, w).
        text: COCO's compressed run lengths.
        area: Number of pixels.
        bbox: x, y, width, height, from the first pixel to the last, as SA-1B has it.
    """

    size: tuple[int, int]
    text: str
    area: int
    bbox: tuple[float, float, float, float]


def check_mask(
    given: RunLengths, size: tuple[int, int], place: str = "segmentation"
) -> CheckedMask:
    """Checks a mask of an image of `size`, (h, w).

    Raises:
        Refusal: It is of another size, or its run lengths are damaged.
    """
    counts = counts_of(given, size, place)
    left, top, width, height = box_of_counts(counts, size[0])
    return CheckedMask(
        size=size,
        text=given.counts,
        area=int(counts[1::2].sum()),
        bbox=(left, top, width, height),
    )


def counts_of(given: RunLengths, size: tuple[int, int], place: str) -> np.ndarray:
    """The run lengths of a mask of an image of `size`, (h, w).

    Raises:
        Refusal: It is of another size, or they are damaged.
    """
    if tuple(given.size) != size:
        raise invalid(
            f"{place}: got a mask of {list(given.size)}, expected the image's "
            f"{list(size)}: size is (height, width)"
        )
    # As many runs as pixels, and a first one of none: a mask that is longer says nothing
    # in the rest, which would be kept and sent all the same.
    most = size[0] * size[1] + 1
    try:
        if len(given.counts) > _LONGEST_NUMBER * most:
            raise ValueError(_too_many(most))
        counts = text_to_counts(given.counts)
        check_counts(counts, size, place)
        if len(counts) > most:
            raise ValueError(_too_many(most))
    except ValueError as error:
        raise invalid(f"{place}: {error}") from error
    return counts


def _too_many(most: int) -> str:
    return (
        f"got more run lengths than an image of {most - 1} pixels can have, expected at "
        f"most {most}: leave out runs of length 0"
    )
