"""A mask as run-length encoding, checked without drawing its pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from samjax.data.formats.annotations import box_of_counts, check_counts
from samjax.geometry.masks import text_to_counts

# Characters of one run length in COCO's compressed counts: 35 bits, 5 bits each.
_LONGEST_RUN = 7


@dataclass(frozen=True, kw_only=True)
class EncodedMask:
    """A run-length encoded mask that fits its image.

    Attributes:
        size: (h, w) of the mask and of its image.
        counts: COCO's compressed run lengths.
        area: Number of pixels.
        bbox: x, y, width, height, from the first pixel to the last, as SA-1B has it.
    """

    size: tuple[int, int]
    counts: str
    area: int
    bbox: tuple[float, float, float, float]


def encoded_mask(counts: str, size: tuple[int, int]) -> EncodedMask:
    """Checks the compressed run lengths of a mask, and measures the mask.

    Args:
        counts: COCO's compressed run lengths, from any source.
        size: (h, w) of the image.

    Raises:
        ValueError: They are damaged, or of an image of another size.
    """
    runs = bounded_counts(counts, size)
    left, top, width, height = box_of_counts(runs, size[0])
    return EncodedMask(
        size=size,
        counts=counts,
        area=int(runs[1::2].sum()),
        bbox=(left, top, width, height),
    )


def bounded_counts(text: str, size: tuple[int, int]) -> Int[np.ndarray, " r"]:
    """Decodes compressed run lengths, no more of them than the image has room for.

    Args:
        text: COCO's compressed run lengths, from any source.
        size: (h, w) of the image.

    Raises:
        ValueError: They are damaged, or of an image of another size.
    """
    # One run per pixel and an empty first one. Runs of length 0 beyond that would change
    # no pixel, and be stored and sent all the same.
    most = size[0] * size[1] + 1
    # Before decoding, which takes memory in proportion to the text.
    if len(text) > _LONGEST_RUN * most:
        raise ValueError(_too_many(most))
    counts = text_to_counts(text)
    check_counts(counts, size)
    if len(counts) > most:
        raise ValueError(_too_many(most))
    return counts


def _too_many(most: int) -> str:
    return (
        f"got more run lengths than an image of {most - 1} pixels can have, expected at "
        f"most {most}: leave out runs of length 0"
    )
