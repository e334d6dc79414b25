"""Annotations and their run lengths: from one to the other, with every check."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from samjax.data.schema import Annotation, ImageInfo
from samjax.geometry.masks import Rle, counts_to_text, text_to_counts


def bare_annotation(
    counts: Int[np.ndarray, " r"], size: tuple[int, int], number: int
) -> Annotation:
    """Makes an annotation of nothing but a mask.

    What is not known has the value that keeps the mask: `predicted_iou` and
    `stability_score` are 1, `point_coords` is empty, `crop_box` the whole image.

    Args:
        counts: run lengths that add up to the size.
        size: (h, w) of the image.
        number: the annotation's id.
    """
    height, width = size
    return Annotation(
        bbox=box_of_counts(counts, height),
        area=int(counts[1::2].sum()),
        segmentation=Rle(size=[height, width], counts=counts_to_text(counts)),
        predicted_iou=1.0,
        point_coords=[],
        crop_box=[0.0, 0.0, float(width), float(height)],
        id=number,
        stability_score=1.0,
    )


def counts_of(annotation: Annotation, image: ImageInfo) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of an annotation's mask.

    Raises:
        ValueError: they are damaged, or of another size than the image.
    """
    rle, size = annotation["segmentation"], (image["height"], image["width"])
    place = f"annotation {annotation['id']} of image {image['image_id']}"
    if tuple(rle["size"]) != size:
        raise ValueError(
            f"{place}: got a mask of {list(rle['size'])}, expected the image's "
            f"{list(size)}: size is (height, width)"
        )
    try:
        counts = text_to_counts(rle["counts"])
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    check_counts(counts, size, place)
    return counts


def check_counts(
    counts: Int[np.ndarray, " r"], size: tuple[int, int], place: str = ""
) -> None:
    """Checks that run lengths are those of a mask of `size`.

    Args:
        counts: run lengths.
        size: (h, w) of the image.
        place: whose mask it is, for the error.

    Raises:
        ValueError: one is negative, or they do not add up.
    """
    # The largest is looked at first, so that the sum cannot overflow.
    pixels = size[0] * size[1]
    sound = counts.min(initial=0) >= 0 and counts.max(initial=0) <= pixels
    if not sound or counts.sum() != pixels:
        raise ValueError(
            f"{place}{': ' if place else ''}got run lengths that do not add up, expected the {pixels} "
            f"pixels of its image of {list(size)}: the mask is damaged or of another"
        )


def box_of_counts(counts: Int[np.ndarray, " r"], height: int) -> list[float]:
    """Returns x, y, width, height of a mask's box as SA-1B has it.

    That is from the first pixel to the last: one pixel has width 0. An empty mask has
    the box 0, 0, 0, 0.
    """
    first, last = _ones(counts)
    if not first.size:
        return [0.0, 0.0, 0.0, 0.0]
    left, right = first[0] // height, last[-1] // height
    top, bottom = (first % height).min(), (last % height).max()
    # A run that goes on in the next column has the last row and the first.
    if np.any(first // height != last // height):
        top, bottom = 0, height - 1
    return [float(left), float(top), float(right - left), float(bottom - top)]


def columns_of_counts(
    counts: Int[np.ndarray, " r"], height: int
) -> tuple[int, Bool[np.ndarray, "c h"]]:
    """Decodes only the columns that a mask has pixels in.

    Returns:
        The first column's number, and the columns, one after the other.
    """
    first, last = _ones(counts)
    if not first.size:
        return 0, np.zeros((0, height), bool)
    left, right = int(first[0] // height), int(last[-1] // height) + 1
    # Every second one of these lengths is of ones; the others are the gaps.
    bounds = np.stack([first, last + 1], axis=1).reshape(-1) - left * height
    lengths = np.diff(bounds, prepend=0, append=(right - left) * height)
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return left, pixels.reshape(right - left, height)


def _ones(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last pixel of every run of ones, counted down the columns."""
    ends = np.cumsum(counts)[1::2]
    lengths = counts[1::2]
    return (ends - lengths)[lengths > 0], ends[lengths > 0] - 1
