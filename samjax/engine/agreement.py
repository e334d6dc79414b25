"""Agreement of two sets of masks of one image: pairs by IoU, what is missed, what extra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from samjax.engine.annotations.rows import Stored
from samjax.geometry.masks import text_to_counts
from samjax.geometry.overlaps import intersections, pairwise_iou

LEAST_IOU = 0.5
"""Least IoU of two masks of the same object."""


class Agreement(NamedTuple):
    """Masks of an image compared with others.

    Attributes:
        mean_iou: Mean IoU of the pairs; None without any.
        matched: Number of pairs.
        missed: Number of the other masks without a partner.
        extra: Number of the masks without a partner.
    """

    mean_iou: float | None
    matched: int
    missed: int
    extra: int


def compare_masks(masks: Sequence[Stored], others: Sequence[Stored]) -> Agreement:
    """Compares masks with others of the same image.

    Masks are paired one to one so that the sum of IoUs is largest (Hungarian method);
    pairs below `LEAST_IOU` are none.

    Args:
        masks: The masks.
        others: The masks that they are compared with, such as trusted ones. Those of
            another size, of a file that was replaced since, are left out on both sides.
    """
    sizes = [tuple(mask["segmentation"]["size"]) for mask in (*others, *masks)]
    size = sizes[0] if sizes else (1, 1)
    own, theirs = (_counts(some, size) for some in (masks, others))
    every = pairwise_iou(intersections([*own, *theirs], size))
    ious = every[: len(own), len(own) :]
    ious = np.where(ious >= LEAST_IOU, ious, 0.0)
    rows, columns = linear_sum_assignment(ious, maximize=True)
    pairs: Float[np.ndarray, " p"] = ious[rows, columns]
    pairs = pairs[pairs >= LEAST_IOU]
    return Agreement(
        mean_iou=float(pairs.mean()) if len(pairs) else None,
        matched=len(pairs),
        missed=len(theirs) - len(pairs),
        extra=len(own) - len(pairs),
    )


def _counts(
    masks: Sequence[Stored], size: tuple[int, ...]
) -> list[Int[np.ndarray, " r"]]:
    return [
        text_to_counts(mask["segmentation"]["counts"])
        for mask in masks
        if tuple(mask["segmentation"]["size"]) == size
    ]
