"""Recall and precision of proposals, beside those of a uniform grid of as many prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.evaluation.intervals import bootstrap_means, interval
from samjax.geometry.overlaps import intersections, pairwise_iou
from samjax.inference.automatic.records import Proposal

CUT = 0.5
"""IoU of the recall and precision of a comparison."""

MOST = 100
"""Masks of an image that recall is measured on."""

BEST = 20
"""Most confident masks of an image that precision is measured on."""


class ImageScore(NamedTuple):
    """Score of the proposals of an image.

    Attributes:
        found: Whether each object has a proposal.
        right: Whether each proposal, the most confident first, is that of an object that
            no proposal before has.
    """

    found: Bool[np.ndarray, " t"]
    right: Bool[np.ndarray, " n"]


def ious_with(
    masks: Sequence[Proposal],
    truth: Sequence[Int[np.ndarray, " _"]],
    size: tuple[int, int],
) -> Float[np.ndarray, "n t"]:
    """Returns the IoU of every proposal with every object, given as run lengths."""
    own = [mask.counts for mask in masks]
    if not own or not truth:
        return np.zeros((len(own), len(truth)))
    ious = pairwise_iou(intersections([*own, *truth], size))
    return ious[: len(own), len(own) :]


def score_image(ious: Float[np.ndarray, "n t"], cut: float = CUT) -> ImageScore:
    """Scores the proposals of an image.

    Args:
        ious: IoU of every proposal, the most confident first, with every object.
        cut: IoU from which a proposal is right.
    """
    found = np.asarray((ious[:MOST] >= cut).any(axis=0))
    left = ious.copy()
    right = np.zeros(len(ious), bool)
    for index, row in enumerate(left):
        if len(row) and row.max() >= cut:
            right[index] = True
            left[:, row.argmax()] = 0.0
    return ImageScore(found, right)


def summarize(scores: Sequence[ImageScore]) -> dict[str, Any]:
    """Returns recall and the precision of the best, with 95 % intervals over images."""
    found = np.concatenate([score.found for score in scores])
    right = np.concatenate([score.right[:BEST] for score in scores])
    return {
        "recall": _mean(found),
        "recall_interval": _interval(found, [len(score.found) for score in scores]),
        f"precision_of_{BEST}": _mean(right),
        f"precision_of_{BEST}_interval": _interval(
            right, [len(score.right[:BEST]) for score in scores]
        ),
        "masks_per_image": float(np.mean([len(score.right) for score in scores])),
    }


def ratio_of_recalls(
    scores: Sequence[ImageScore], others: Sequence[ImageScore]
) -> dict[str, Any]:
    """Returns the ratio of two recalls on the same images, with a 95 % interval."""
    images = np.repeat(np.arange(len(scores)), [len(score.found) for score in scores])
    both = [
        np.concatenate([score.found for score in part]).astype(float)
        for part in (scores, others)
    ]
    means = [bootstrap_means(found, images) for found in both]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = means[0] / means[1]
        ratio = float(both[0].mean() / both[1].mean())
    # Nothing found by the other in some draw: the ratio has no bound.
    is_bounded = bool(np.isfinite(ratios).all()) and np.isfinite(ratio)
    return {
        "ratio": ratio if is_bounded else None,
        "interval": interval(ratios) if is_bounded else None,
    }


def precision_above(
    confidences: Sequence[Float[np.ndarray, " _"]],
    rights: Sequence[Bool[np.ndarray, " _"]],
    threshold: float | None,
) -> dict[str, Any]:
    """Returns the precision of the proposals above a threshold, by image.

    Args:
        confidences: Confidences of each image's proposals.
        rights: Whether each is right.
        threshold: The threshold; None shows nothing.
    """
    if threshold is None:
        return {"masks_per_image": 0.0, "precision": None, "interval": None}
    kept = [
        right[confidence >= threshold]
        for confidence, right in zip(confidences, rights, strict=True)
    ]
    pooled = np.concatenate(kept)
    return {
        "masks_per_image": len(pooled) / len(kept),
        "precision": _mean(pooled),
        "interval": _interval(pooled, [len(part) for part in kept]),
    }


def _mean(values: Bool[np.ndarray, " n"]) -> float | None:
    return float(values.mean()) if len(values) else None


def _interval(
    values: Bool[np.ndarray, " n"], counts: Sequence[int]
) -> list[float] | None:
    if not len(values):
        return None
    images = np.repeat(np.arange(len(counts)), counts)
    return interval(bootstrap_means(values.astype(float), images))
