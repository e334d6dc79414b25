"""Conversion between annotations in the fields of SA-1B and RLE counts, with validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from samjax.data.schema import Annotation, ImageInfo
from samjax.geometry.boxes import to_xywh
from samjax.geometry.masks import Rle, counts_to_text, text_to_counts
from samjax.geometry.run_lengths import box_of_runs


def make_annotation(
    counts: Int[np.ndarray, " r"],
    size: tuple[int, int],
    mask_id: int,
    *,
    box: Sequence[int] | None = None,
    segmentation: Any = None,
    predicted_iou: float = 1.0,
    points: Sequence[Sequence[float | int]] = (),
    crop_box: Sequence[int] | None = None,
    stability_score: float = 1.0,
) -> Annotation:
    """Makes an annotation in the fields of SA-1B, in their order.

    The defaults are those of a mask of which nothing else is known: scores that keep
    it, no points, and the whole image as its crop.

    Args:
        counts: RLE counts that add up to the size.
        size: (h, w) of the image.
        mask_id: the annotation's id.
        box: XYXY of the mask, right and bottom being its last pixels'; None computes it.
        segmentation: the mask in the form that is written; None stands for COCO's
            compressed run lengths.
        predicted_iou: the model's estimate of the mask's IoU.
        points: (x, y) of the point prompts.
        crop_box: XYXY of the crop in which the mask was predicted.
        stability_score: its stability score.
    """
    height, width = size
    if box is None:
        box = box_of_runs(counts, height)
    if crop_box is None:
        crop_box = (0, 0, width, height)
    if segmentation is None:
        segmentation = Rle(size=[height, width], counts=counts_to_text(counts))
    return Annotation(
        bbox=[float(side) for side in to_xywh(box)],
        area=int(counts[1::2].sum()),
        segmentation=segmentation,
        predicted_iou=predicted_iou,
        point_coords=[list(point) for point in points],
        crop_box=[float(side) for side in to_xywh(crop_box)],
        id=mask_id,
        stability_score=stability_score,
    )


# Former name, for scripts that use it.
bare_annotation = make_annotation


def counts_of(annotation: Annotation, image: ImageInfo) -> Int[np.ndarray, " r"]:
    """Returns the RLE counts of an annotation's mask.

    Raises:
        ValueError: They are damaged, or of another size than the image.
    """
    rle, size = annotation["segmentation"], (image["height"], image["width"])
    context = f"annotation {annotation['id']} of image {image['image_id']}"
    if tuple(rle["size"]) != size:
        raise ValueError(
            f"{context}: got a mask of {list(rle['size'])}, expected the image's "
            f"{list(size)}: size is (height, width)"
        )
    try:
        counts = text_to_counts(rle["counts"])
    except ValueError as error:
        raise ValueError(f"{context}: {error}") from error
    check_counts(counts, size, context)
    return counts


def check_counts(
    counts: Int[np.ndarray, " r"], size: tuple[int, int], context: str = ""
) -> None:
    """Checks that RLE counts describe a mask of `size`.

    Args:
        counts: RLE counts.
        size: (h, w) of the image.
        context: Prefix of the error message, which names the mask.

    Raises:
        ValueError: A count is negative, or they do not add up to the size.
    """
    # The largest count is checked first, so that the sum cannot overflow.
    pixels = size[0] * size[1]
    sound = counts.min(initial=0) >= 0 and counts.max(initial=0) <= pixels
    if not sound or counts.sum() != pixels:
        raise ValueError(
            f"{context}{': ' if context else ''}got run lengths that do not add up, "
            f"expected the {pixels} pixels of its image of {list(size)}: the mask is "
            "damaged or of another"
        )


def box_of_counts(counts: Int[np.ndarray, " r"], height: int) -> list[float]:
    """Returns x, y, width, height of a mask's box in SA-1B's convention.

    The box extends from the first pixel to the last: one pixel has width 0. An empty
    mask has the box 0, 0, 0, 0.
    """
    return [float(side) for side in to_xywh(box_of_runs(counts, height))]


def columns_of_counts(
    counts: Int[np.ndarray, " r"], height: int
) -> tuple[int, Bool[np.ndarray, "c h"]]:
    """Decodes only the columns between a mask's first and last pixel.

    Returns:
        The index of the first column, and the pixels column by column.
    """
    first, last = _foreground_runs(counts)
    if not first.size:
        return 0, np.zeros((0, height), bool)
    left, right = int(first[0] // height), int(last[-1] // height) + 1
    # Lengths alternate between gaps and runs of the foreground.
    bounds = np.stack([first, last + 1], axis=1).reshape(-1) - left * height
    lengths = np.diff(bounds, prepend=0, append=(right - left) * height)
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return left, pixels.reshape(right - left, height)


def _foreground_runs(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and last position of every run of ones, in column-major order."""
    ends = np.cumsum(counts)[1::2]
    lengths = counts[1::2]
    return (ends - lengths)[lengths > 0], ends[lengths > 0] - 1
