"""Calibration: how far predicted IoUs are from true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Real

NUM_BINS = 10


def calibration(
    predicted: Real[np.ndarray, " n"], true: Real[np.ndarray, " n"]
) -> dict[str, Any]:
    """Compares predicted IoUs with true ones.

    Args:
        predicted: Predicted IoUs; they may lie outside 0 to 1, and count as 0 or 1 for
            the bins alone.
        true: The IoUs of the same masks.

    Returns:
        `bins`: of each tenth of predicted IoU the number of objects, the mean predicted
        and the mean true IoU (None where there is no object); `error`, the expected
        calibration error: the mean distance of the two over bins, weighted by their
        objects; `mean_predicted`, `mean_true`; `rank_correlation`, Spearman's, None
        where one of the two is the same for all objects.
    """
    predicted, true = predicted.astype(float), true.astype(float)
    place = np.clip((predicted * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    bins, error = [], 0.0
    for number in range(NUM_BINS):
        inside = place == number
        count = int(inside.sum())
        means = (None, None)
        if count:
            means = float(predicted[inside].mean()), float(true[inside].mean())
            error += count / len(true) * abs(means[0] - means[1])
        bins.append(
            {
                "from": number / NUM_BINS,
                "to": (number + 1) / NUM_BINS,
                "objects": count,
                "predicted": means[0],
                "true": means[1],
            }
        )
    return {
        "bins": bins,
        "error": error,
        "mean_predicted": float(predicted.mean()),
        "mean_true": float(true.mean()),
        "rank_correlation": rank_correlation(predicted, true),
    }


def rank_correlation(
    one: Real[np.ndarray, " n"], other: Real[np.ndarray, " n"]
) -> float | None:
    """Returns Spearman's correlation, equal values having the mean of their ranks."""
    ranks = np.stack([_ranks(one), _ranks(other)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.prod((centred**2).sum(axis=1)))
    return float(np.prod(centred, axis=0).sum() / scale) if scale > 0 else None


def _ranks(values: np.ndarray) -> Float[np.ndarray, " n"]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]
