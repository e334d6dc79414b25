"""Calibration: how far predicted IoUs are from true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from samjax.evaluation.metrics.metric import (
    Chart,
    ImageRecords,
    Metric,
    Summary,
    objects_of,
)

NUM_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Calibration(Metric):
    """Calibration of the predicted IoU under one name of `MaskIou`'s records.

    Attributes:
        name: Name of the score.
        label: Words for it in the line below the table.
    """

    name: str
    label: str

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the calibration; None without predicted IoUs of that name."""
        return Summary(details=self.pooled(images))

    def pooled(self, images: Sequence[ImageRecords]) -> Mapping[str, Any]:
        """Computes the calibration over the objects of all images."""
        records = [
            record
            for record in objects_of(images)
            if self.name in record.get("predicted", {})
        ]
        if not records:
            return {"calibration": None}
        predicted, true = (
            np.array([record[field][self.name] for record in records])
            for field in ("predicted", "iou")
        )
        return {"calibration": calibration(predicted, true)}

    def charts(self, images: Sequence[ImageRecords]) -> Sequence[Chart]:
        """Returns true by predicted IoU, unless there is no calibration."""
        table = self.pooled(images)["calibration"]
        if table is None:
            return ()
        points = [
            (min(max(of_bin["predicted"], 0.0), 1.0), of_bin["true"])
            for of_bin in table["bins"]
            if of_bin["objects"]
        ]
        return [
            Chart(
                heading="Calibration",
                note=f"expected error {table['error']:.3f}",
                across=f"{self.label}, mean of a tenth",
                up="true IoU",
                points=points,
                reference=((0.0, 0.0), (1.0, 1.0)),
            )
        ]

    def pooled_notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns one line, unless there is no calibration."""
        table = details.get("calibration")
        if table is None:
            return []
        correlation = table["rank_correlation"]
        rank = "undefined" if correlation is None else f"{correlation:.2f}"
        line = (
            f"{self.label}: mean {table['mean_predicted']:.3f}, true "
            f"{table['mean_true']:.3f}, expected calibration error "
            f"{table['error']:.3f}, rank correlation {rank}"
        )
        return [line]


def calibration(
    predicted: Real[np.ndarray, " n"], true: Real[np.ndarray, " n"]
) -> dict[str, Any]:
    """Compares predicted IoUs with true ones.

    Args:
        predicted: Predicted IoUs; they may lie outside 0 to 1, and count as 0 or 1 for
            the bins alone.
        true: The IoUs of the same masks.

    Returns:
        `bins`: for each tenth of predicted IoU the number of objects, the mean predicted
        and the mean true IoU (None without an object); `error`, the expected calibration
        error: the mean absolute difference of the two over bins, weighted by the number
        of objects; `mean_predicted`, `mean_true`; `rank_correlation`, Spearman's, None
        if one of the two is the same for all objects.
    """
    predicted, true = predicted.astype(float), true.astype(float)
    bin_indices = np.clip((predicted * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    bins, error = [], 0.0
    for index in range(NUM_BINS):
        inside = bin_indices == index
        count = int(inside.sum())
        means = (None, None)
        if count:
            means = float(predicted[inside].mean()), float(true[inside].mean())
            error += count / len(true) * abs(means[0] - means[1])
        bins.append(
            {
                "from": index / NUM_BINS,
                "to": (index + 1) / NUM_BINS,
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
    first: Real[np.ndarray, " n"], second: Real[np.ndarray, " n"]
) -> float | None:
    """Returns Spearman's rank correlation; ties get the mean of their ranks."""
    ranks = np.stack([_ranks(first), _ranks(second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.prod((centred**2).sum(axis=1)))
    return float(np.prod(centred, axis=0).sum() / scale) if scale > 0 else None


def _ranks(values: np.ndarray) -> Float[np.ndarray, " n"]:
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[inverse]
