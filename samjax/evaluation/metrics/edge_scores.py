"""Scores of edge maps from counts of matched pixels: ODS, OIS, AP and R50.

The definitions are those of the benchmark of BSDS500 (Arbelaez et al., 2011) in the form
of Dollar and Zitnick's toolbox, whose figures the literature quotes. Where that toolbox
has no number, the score is 0 (`EdgeScores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from samjax.evaluation.metrics.edge_matching import EdgeMatcher
from samjax.evaluation.metrics.edge_thinning import thin


def spaced(count: int) -> tuple[float, ...]:
    """Returns thresholds evenly spaced between 0 and 1, without these.

    Args:
        count: Number of thresholds.
    """
    # As the benchmark computes them, to the last bit: levels of 8 bits that are equal to a
    # threshold, such as 85 / 255 to 1 / 3, are above it or below by the rounding.
    return tuple(np.linspace(1 / (count + 1), 1 - 1 / (count + 1), count).tolist())


THRESHOLDS = spaced(99)
"""Thresholds at which edge maps are binarized: 0.01, 0.02, ..., 0.99."""

MAX_DISTANCE = 0.0075
"""Largest distance of matched pixels, as a share of the diagonal of the image."""

Counts = Int[np.ndarray, "*n t 4"]
"""Numbers of pixels per threshold: matched annotated, annotated (both summed over the
annotators), predicted that match any annotator, predicted."""


class EdgeScores(NamedTuple):
    """The scores of a dataset.

    Attributes:
        ods: Best F-measure at one threshold for all images, with precision and recall
            interpolated between neighbouring thresholds.
        ois: F-measure at the best threshold of each image.
        ap: Sum of the precisions at recalls 0, 0.01, ..., 1 over 100. Recalls that are
            not reached count nothing; 0 for a curve of one recall.
        r50: Recall at a precision of 0.5, or at the lowest precision if that is higher;
            0 if no precision reaches 0.5.
        threshold: Threshold of the best F-measure.
        precision: Precision there.
        recall: Recall there.
    """

    ods: float
    ois: float
    ap: float
    r50: float
    threshold: float
    precision: float
    recall: float


def count_edges(
    edges: Real[np.ndarray, "h w"],
    boundaries: Bool[np.ndarray, "a h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    max_distance: float = MAX_DISTANCE,
) -> Int[np.ndarray, "t 4"]:
    """Counts matched pixels of an edge map at all thresholds.

    Args:
        edges: Edge strengths from 0 to 1. They are rounded to 8 bits, as the benchmark
            reads them from PNG files.
        boundaries: The boundary maps of the annotators.
        thresholds: The thresholds; a pixel is an edge from the threshold on.
        max_distance: Largest distance of a pair, as a share of the diagonal.

    Returns:
        The counts, as in `Counts`.

    Raises:
        ValueError: Strengths are not between 0 and 1.
    """
    if edges.size and not (edges.min() >= 0 and edges.max() <= 1):
        raise ValueError(
            f"got edge strengths from {edges.min()} to {edges.max()}, expected 0 to 1"
        )
    # In 64 bits: a float32 of 85 / 255 is above 1 / 3.
    levels = np.round(np.asarray(edges, np.float64) * 255) / 255
    distance = max_distance * float(np.hypot(*edges.shape))
    annotated = int(np.count_nonzero(boundaries))
    counts = np.zeros((len(thresholds), 4), np.int64)
    matchers = [
        EdgeMatcher(truth, distance, seed) for seed, truth in enumerate(boundaries)
    ]
    before, row = None, np.zeros(4, np.int64)
    for index, threshold in enumerate(thresholds):
        binary = levels >= max(threshold, np.finfo(float).eps)
        if before is None or not np.array_equal(binary, before):
            thinned, before = thin(binary), binary
            matches = [matcher.match(thinned) for matcher in matchers]
            matched = np.zeros_like(thinned)
            for match in matches:
                matched |= match.predicted
            found = sum(int(np.count_nonzero(match.truth)) for match in matches)
            row = np.array(
                [found, annotated, np.count_nonzero(matched), np.count_nonzero(thinned)]
            )
        counts[index] = row
    return counts


def precision_recall(
    counts: Int[np.ndarray, "*n 4"],
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Returns precision and recall of counts; 0 where there is nothing to count.

    Args:
        counts: As in `Counts`.
    """
    found, annotated, matched, predicted = np.moveaxis(counts, -1, 0)
    return matched / np.maximum(predicted, 1), found / np.maximum(annotated, 1)


def edge_scores(
    counts: Int[np.ndarray, "n t 4"], thresholds: Sequence[float] = THRESHOLDS
) -> EdgeScores:
    """Returns the scores of the counts of all images.

    Args:
        counts: Counts of every image, as `count_edges` returns them.
        thresholds: Their thresholds, ascending.

    Raises:
        ValueError: There is no image, or another number of thresholds.
    """
    if not len(counts) or counts.shape[1] != len(thresholds):
        raise ValueError(
            f"got counts of {counts.shape}, expected (images, {len(thresholds)}, 4)"
        )
    precision, recall = precision_recall(counts.sum(axis=0))
    best = _best_on_curve(precision, recall, np.asarray(thresholds, float))
    choice = np.argmax(f_measure(*precision_recall(counts)), axis=1)
    of_choice = counts[np.arange(len(counts)), choice].sum(axis=0, keepdims=True)
    return EdgeScores(
        ods=best[0],
        ois=float(f_measure(*precision_recall(of_choice))[0]),
        ap=_average_precision(precision, recall),
        r50=_recall_at_half(precision, recall),
        threshold=best[1],
        precision=best[2],
        recall=best[3],
    )


def f_measure(
    precision: Float[np.ndarray, "*n"], recall: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "*n"]:
    """Returns the harmonic mean of precision and recall; 0 where both are 0."""
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)


def _best_on_curve(
    precision: Float[np.ndarray, " t"],
    recall: Float[np.ndarray, " t"],
    thresholds: Float[np.ndarray, " t"],
) -> tuple[float, float, float, float]:
    """Returns the best F with its threshold, precision and recall.

    Neighbouring points are joined by 100 linear steps; of equal F the first counts.
    """
    curves = np.stack([thresholds, precision, recall], axis=1)
    if len(curves) > 1:
        share = np.linspace(0, 1, 100)[None, :, None]
        curves = curves[:-1, None] * (1 - share) + curves[1:, None] * share
        curves = curves.reshape(-1, 3)
    measures = f_measure(curves[:, 1], curves[:, 2])
    best = int(np.argmax(measures))
    return (float(measures[best]), *(float(value) for value in curves[best]))  # pyright: ignore[reportReturnType]


def _average_precision(
    precision: Float[np.ndarray, " t"], recall: Float[np.ndarray, " t"]
) -> float:
    recalls, first = np.unique(recall, return_index=True)
    if len(recalls) < 2:
        return 0.0
    at = np.linspace(0, 1, 101)
    # np.interp would continue the curve at both ends, which counts nothing here.
    inside = (at >= recalls[0]) & (at <= recalls[-1])
    return float(np.interp(at[inside], recalls, precision[first]).sum() / 100)


def _recall_at_half(
    precision: Float[np.ndarray, " t"], recall: Float[np.ndarray, " t"]
) -> float:
    precisions, first = np.unique(precision, return_index=True)
    if precisions[-1] < 0.5:
        return 0.0
    return float(np.interp(max(precisions[0], 0.5), precisions, recall[first]))
