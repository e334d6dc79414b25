"""Texts of things that are not in the image: how a model answers them.

How well a predicted IoU tells presence from absence is the area under the curve of true
over false positives (ROC; Fawcett, 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import ImageRecords, Metric, Summary, objects_of
from samjax.evaluation.policies.policy import Round

PRESENT, ABSENT = "text", "absent"


@dataclass(frozen=True, kw_only=True)
class Presence(Metric):
    """False positives for absent phrases, and the predicted IoU as a sign of presence.

    `absent_fp` is the share of absent phrases that are answered with a mask of a predicted
    IoU of at least `threshold`, `present_tp` that of the captions of objects, and
    `presence_auroc` the probability that a caption of an object of the dataset has a
    higher predicted IoU than an absent phrase. The score of a detector takes the place of
    the predicted IoU. Models that predict none have no such scores.

    Attributes:
        threshold: The predicted IoU from which a phrase counts as found.
    """

    threshold: float = 0.5

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the predicted IoUs of present and absent phrases."""
        if round.name not in (PRESENT, ABSENT):
            return
        for response in round.responses:
            if response.index is None or response.predicted_iou is None:
                continue
            score = response.predicted_iou if response.mask.any() else 0.0
            record = records.objects[response.index].setdefault("presence", {})
            record[round.name] = score

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the scores over the objects that have an absent phrase."""
        found = [of.get("presence", {}) for of in objects_of(images)]
        rows = [[of.get(name, np.nan) for name in (PRESENT, ABSENT)] for of in found]
        pairs: np.ndarray = np.array(rows, np.float64).reshape(-1, 2)
        known = np.isfinite(pairs).all(axis=1)
        if not known.any():
            return Summary()
        reached = np.where(known, pairs.T >= self.threshold, np.nan)
        return Summary(
            per_object={"present_tp": reached[0], "absent_fp": reached[1]},
            scores={"presence_auroc": auroc(pairs[known, 0], pairs[known, 1])},
        )


def auroc(higher: Float[np.ndarray, " n"], lower: Float[np.ndarray, " m"]) -> float:
    """Returns the probability that a number of one set is above one of another.

    Ties count as a half.

    Args:
        higher: Scores that should be higher.
        lower: Scores that should be lower.
    """
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, "left")
    at_most = np.searchsorted(ordered, higher, "right")
    return float(np.mean((below + at_most) / (2 * len(ordered))))
