"""The scores of referring expression segmentation, beside the mean IoU."""

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


@dataclass(frozen=True, kw_only=True)
class ReferringScores(Metric):
    """Overall IoU and precision of a round's scored masks, as for RefCOCO (Yu et al., 2016).

    `NAME_ciou` is the overall (cumulative) IoU: the pixels of all intersections over
    those of all unions, in which large objects count most. `NAME_p50` to `NAME_p90` is
    the share of expressions with an IoU of at least 0.5 to 0.9. The mean IoU, which is
    called gIoU as well, is that of `MaskIou`.

    Attributes:
        round: Name of the round.
        thresholds: The IoUs, in percent.
        seed: Seed of the bootstrap.
    """

    round: str = "text"
    thresholds: tuple[int, ...] = (50, 60, 70, 80, 90)
    seed: int = 0

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the pixels of intersection and union of the responses."""
        if round.name != self.round:
            return
        for response in round.responses:
            if response.index is None or response.target is None:
                continue
            mask, target = response.mask, response.target
            records.objects[response.index]["pixels"] = {
                "intersection": int(np.count_nonzero(mask & target)),
                "union": int(np.count_nonzero(mask | target)),
            }

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the scores over all objects."""
        pixels = [of["pixels"] for of in objects_of(images) if "pixels" in of]
        if not pixels:
            return Summary()
        shared = np.array([of["intersection"] for of in pixels], np.int64)
        joined = np.array([of["union"] for of in pixels], np.int64)
        # In whole numbers: an IoU of a half is at 0.5, not beside it.
        reached = {
            f"{self.round}_p{percent}": 100 * shared >= percent * joined
            for percent in self.thresholds
        }
        indices = image_indices(images)
        # A quotient of means over the same draws is one of sums.
        shared_draws, joined_draws = (
            bootstrap_means(values, indices, seed=self.seed)
            for values in (shared, joined)
        )
        name = f"{self.round}_ciou"
        return Summary(
            per_object={key: of.astype(float) for key, of in reached.items()},
            scores={name: float(shared.sum() / joined.sum())},
            details={name: interval(shared_draws / joined_draws)},
        )

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns the interval of the overall IoU."""
        name = f"{self.round}_ciou"
        if name not in details:
            return []
        low, high = details[name]
        return [f"95 % interval of {name}: {low:.2f}-{high:.2f}"]
