"""Agreement of two sets of masks of one image: pairs by IoU, boundaries, labels."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import minimum_filter
from scipy.optimize import linear_sum_assignment

from samjax.engine.annotations.rows import Stored
from samjax.evaluation.detections import BOUNDARY_RATIO
from samjax.geometry.masks import counts_to_mask, text_to_counts
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
        boundary_iou: Mean boundary IoU of the pairs; None without any.
        labels: The label of a mask and that of its partner, for each pair.
    """

    mean_iou: float | None
    matched: int
    missed: int
    extra: int
    boundary_iou: float | None
    labels: tuple[tuple[str, str], ...]


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
    masks, others = (
        [mask for mask in some if tuple(mask["segmentation"]["size"]) == size]
        for some in (masks, others)
    )
    own, theirs = (_counts(some) for some in (masks, others))
    every = pairwise_iou(intersections([*own, *theirs], size))
    ious = every[: len(own), len(own) :]
    ious = np.where(ious >= LEAST_IOU, ious, 0.0)
    rows, columns = linear_sum_assignment(ious, maximize=True)
    is_pair = ious[rows, columns] >= LEAST_IOU
    rows, columns = rows[is_pair], columns[is_pair]
    pairs: Float[np.ndarray, " p"] = ious[rows, columns]
    boundaries = [
        boundary_iou(
            counts_to_mask(own[row], size), counts_to_mask(theirs[column], size)
        )
        for row, column in zip(rows, columns, strict=True)
    ]
    return Agreement(
        mean_iou=float(pairs.mean()) if len(pairs) else None,
        matched=len(pairs),
        missed=len(theirs) - len(pairs),
        extra=len(own) - len(pairs),
        boundary_iou=float(np.mean(boundaries)) if boundaries else None,
        labels=tuple(
            (masks[row]["label"], others[column]["label"])
            for row, column in zip(rows, columns, strict=True)
        ),
    )


def label_agreement(
    labels: Sequence[tuple[str, str]],
) -> tuple[float | None, float | None]:
    """Returns the share of pairs with equal labels, and Cohen's kappa of them.

    Kappa is 1 for equal labels, and 0 where they agree as often as by chance, with the
    frequencies of each side (Cohen, 1960).

    Args:
        labels: The two labels of each pair. Pairs without a label on both sides are left
            out.

    Returns:
        The share, None without a pair; kappa, None where all have one label.
    """
    named = [pair for pair in labels if pair != ("", "")]
    if not named:
        return None, None
    total = len(named)
    equal = sum(a == b for a, b in named) / total
    first, second = (collections.Counter(side) for side in zip(*named, strict=True))
    chance = sum(first[name] * second[name] for name in first) / total**2
    return equal, None if chance == 1 else (equal - chance) / (1 - chance)


def boundary_iou(
    mask: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]
) -> float:
    """Returns the IoU of the boundaries of two masks (Cheng et al., 2021).

    The boundary has a width of 2 % of the image's diagonal, and includes the border of
    the image. Equal to `samjax.evaluation.metrics.boundary_iou`, without OpenCV, which a
    server may lack.

    Args:
        mask: The one mask.
        other: The other, not empty either.
    """
    width = max(1, round(BOUNDARY_RATIO * float(np.hypot(*mask.shape))))
    side = 2 * width + 1
    # Beyond both masks is nothing to compare: large images have small objects.
    either = mask | other
    rows, columns = (np.flatnonzero(either.any(axis)) for axis in (1, 0))
    place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inner, outer = (
        shown & ~np.asarray(minimum_filter(shown, side, mode="constant"), bool)
        for shown in (mask[place], other[place])
    )
    return float(np.count_nonzero(inner & outer) / np.count_nonzero(inner | outer))


def _counts(masks: Sequence[Stored]) -> list[Int[np.ndarray, " r"]]:
    return [text_to_counts(mask["segmentation"]["counts"]) for mask in masks]
