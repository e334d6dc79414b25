"""NoC, the number of clicks that an IoU takes, as in RITM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.intervals import bootstrap_means, interval
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    image_indices,
    objects_of,
)
from samjax.evaluation.policies.policy import Round
from samjax.evaluation.segmenter import PromptKind


@dataclass(frozen=True, kw_only=True)
class NumberOfClicks(Metric):
    """The first click at which the scored mask reaches an IoU.

    Records get `clicks`, with None for an IoU that is not reached.

    Attributes:
        thresholds: The IoUs; empty counts nothing.
        max_clicks: Later clicks do not count. A failure counts as so many clicks.
        seed: Seed of the bootstrap.
    """

    thresholds: tuple[float, ...] = ()
    max_clicks: int = 20
    seed: int = 0

    @property
    def needs(self) -> frozenset[PromptKind]:
        """Points, if there is a threshold."""
        return frozenset(("points",) if self.thresholds else ())

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records thresholds that are reached in this round for the first time."""
        if not round.clicks:
            return
        for response in round.responses:
            if response.index is None or not self.thresholds:
                continue
            clicks = records.objects[response.index].setdefault(
                "clicks", {f"{threshold:.2f}": None for threshold in self.thresholds}
            )
            for threshold in self.thresholds:
                name = f"{threshold:.2f}"
                is_open = clicks[name] is None and round.clicks <= self.max_clicks
                if is_open and response.iou >= threshold:
                    clicks[name] = round.clicks

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes mean numbers of clicks with intervals, and the share of failures."""
        table = {}
        for threshold in self.thresholds:
            name = f"{threshold:.2f}"
            clicks = [record["clicks"][name] for record in objects_of(images)]
            counted = np.array([number or self.max_clicks for number in clicks])
            means = bootstrap_means(counted, image_indices(images), seed=self.seed)
            table[name] = {
                "mean": float(counted.mean()),
                "interval": interval(means),
                "failures": sum(number is None for number in clicks) / len(clicks),
            }
        return Summary(details={"noc": table})

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns one line per threshold."""
        lines = []
        for threshold, entry in details.get("noc", {}).items():
            low, high = entry["interval"]
            lines.append(
                f"{entry['mean']:.2f} clicks ({low:.2f} to {high:.2f}) to an IoU of "
                f"{threshold}, not reached by {entry['failures']:.0%}"
            )
        return lines
