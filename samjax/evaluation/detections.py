"""Detected masks of an image, and their overlaps with the ground truth. Needs `eval`.

Masks are COCO's run lengths as text, as in files of results: an image has up to a
thousand of them. Overlaps are those of pycocotools, whose IoU with a crowd is the share of
the detection that the crowd covers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.geometry.masks import Rle, counts_to_text, decode_rle, encode_rle

Overlap = Literal["mask", "boundary"]
"""IoU of masks, or the smaller one of theirs and their boundaries'."""

BOUNDARY_RATIO = 0.02
"""Width of boundaries, as a share of the diagonal of the image, as for COCO."""


class Detection(NamedTuple):
    """A mask that a model found in an image.

    Attributes:
        mask: Run lengths of the mask.
        score: By which the detections of an image are ranked.
        category: Id of its category; 0 without categories.
    """

    mask: Rle
    score: float
    category: int = 0


class Annotated(NamedTuple):
    """An object of the ground truth.

    Attributes:
        mask: Run lengths of the mask.
        area: Area in pixels, by which objects are grouped.
        category: Id of its category; 0 without categories.
        crowd: Whether it covers many objects, of which none is to be found.
    """

    mask: Rle
    area: float
    category: int = 0
    crowd: bool = False


def rle_of_counts(counts: Int[np.ndarray, " r"], size: tuple[int, int]) -> Rle:
    """Returns run lengths as text.

    Args:
        counts: Run lengths, column by column, zeros first.
        size: (h, w) of the image.
    """
    return Rle(size=list(size), counts=counts_to_text(counts))


def mask_areas(masks: Sequence[Rle]) -> Float[np.ndarray, " n"]:
    """Returns the areas of masks in pixels.

    Raises:
        ImportError: pycocotools is missing.
    """
    if not masks:
        return np.zeros(0)
    return np.asarray(coco_masks().area(_encoded(masks)), float)


def overlaps(
    detected: Sequence[Rle],
    truth: Sequence[Rle],
    crowds: Bool[np.ndarray, " g"],
    *,
    kind: Overlap = "mask",
    boundary_ratio: float = BOUNDARY_RATIO,
) -> Float[np.ndarray, "d g"]:
    """Returns the IoU of every detection with every object.

    Args:
        detected: Masks of the detections.
        truth: Masks of the objects.
        crowds: The objects that cover many; their IoU is the share of the detection that
            they cover.
        kind: Of masks, or the smaller one of masks and boundaries (boundary IoU; of
            masks alone with crowds).
        boundary_ratio: Width of boundaries, as a share of the image's diagonal.

    Raises:
        ImportError: pycocotools is missing.
    """
    if not detected or not truth:
        return np.zeros((len(detected), len(truth)))
    ious = _ious(detected, truth, crowds)
    if kind == "mask":
        return ious
    inner, outer = (
        [_boundary(mask, boundary_ratio) for mask in masks]
        for masks in (detected, truth)
    )
    of_boundaries = _ious(inner, outer, np.zeros(len(truth), bool))
    return np.where(crowds, ious, np.minimum(ious, of_boundaries))


def boundary_of_mask(
    mask: Bool[np.ndarray, "h w"], ratio: float
) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels of a mask near its boundary, the image's border included.

    Args:
        mask: The mask.
        ratio: Width of the boundary, as a share of the diagonal of the image; at least
            a pixel.

    Raises:
        ImportError: OpenCV is missing.
    """
    cv2 = _module("cv2", "OpenCV")
    height, width = mask.shape
    distance = max(1, round(ratio * float(np.hypot(height, width))))
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
    return mask & (eroded[1:-1, 1:-1] == 0)


def coco_masks() -> Any:
    """Returns the module `pycocotools.mask`.

    Raises:
        ImportError: It is missing.
    """
    return _module("pycocotools.mask", "pycocotools")


def _ious(
    detected: Sequence[Rle], truth: Sequence[Rle], crowds: Bool[np.ndarray, " g"]
) -> Float[np.ndarray, "d g"]:
    ious = coco_masks().iou(
        _encoded(detected), _encoded(truth), crowds.astype(np.uint8).tolist()
    )
    return np.asarray(ious, float).reshape(len(detected), len(truth))


def _boundary(mask: Rle, ratio: float) -> Rle:
    return encode_rle(boundary_of_mask(decode_rle(mask), ratio))


def _encoded(masks: Sequence[Rle | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns masks as pycocotools takes them, with text as bytes."""
    return [
        {"size": list(mask["size"]), "counts": mask["counts"].encode("ascii")}
        for mask in masks
    ]


def _module(name: str, package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"scores of detected masks need {package}: run pip install 'samjax[eval]'"
        ) from error
