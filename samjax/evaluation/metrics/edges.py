"""ODS, OIS, AP and R50 of predicted edge maps, as BSDS500's benchmark has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samjax.evaluation.datasets.boundary_sets import BOUNDARIES
from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.edge_scores import (
    MAX_DISTANCE,
    THRESHOLDS,
    count_edges,
    edge_scores,
    f_measure,
    precision_recall,
)
from samjax.evaluation.metrics.metric import (
    Case,
    Chart,
    ImageRecords,
    Metric,
    Summary,
)
from samjax.evaluation.policies.policy import Round


@dataclass(frozen=True, kw_only=True)
class Edges(Metric):
    """Scores of edge maps (`edge_scores`).

    The values of an image get `edges`, its counts at every threshold, from which all
    scores follow.

    Attributes:
        thresholds: Thresholds at which edge maps are binarized, ascending.
        max_distance: Largest distance of matched pixels, as a share of the diagonal.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    max_distance: float = MAX_DISTANCE

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the counts of the round's edge map."""
        if round.edges is None:
            return
        records.values["edges"] = count_edges(
            round.edges,
            sample.truth[BOUNDARIES],
            thresholds=self.thresholds,
            max_distance=self.max_distance,
        ).tolist()

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the scores, the curve, and each image's best F-measure."""
        counts = np.array([image.values["edges"] for image in images])
        scores = edge_scores(counts, self.thresholds)
        precision, recall = precision_recall(counts.sum(axis=0))
        measures = f_measure(*precision_recall(counts))
        return Summary(
            scores={
                name: getattr(scores, name) for name in ("ods", "ois", "ap", "r50")
            },
            details={
                "edges": {
                    "threshold": scores.threshold,
                    "precision": scores.precision,
                    "recall": scores.recall,
                    "curve": {
                        "threshold": list(self.thresholds),
                        "precision": precision.tolist(),
                        "recall": recall.tolist(),
                    },
                    "images": [
                        {
                            "image": image.name,
                            "f": float(of_image.max()),
                            "threshold": self.thresholds[int(of_image.argmax())],
                        }
                        for image, of_image in zip(images, measures, strict=True)
                    ],
                }
            },
        )

    def charts(self, images: Sequence[ImageRecords]) -> Sequence[Chart]:
        """Returns the curve of precision and recall, and a histogram of the best F."""
        summary = self.summarize(images)
        curve = summary.details["edges"]["curve"]
        return [
            Chart(
                heading="Precision and recall",
                note=f"ODS {summary.scores['ods']:.3f}",
                across="recall",
                up="precision",
                points=[
                    (recall, precision)
                    for recall, precision in zip(
                        curve["recall"], curve["precision"], strict=True
                    )
                    if precision > 0
                ],
            ),
            Chart(
                heading="Best F-measure of an image",
                note=f"OIS {summary.scores['ois']:.3f}",
                across="F-measure",
                values=[case.score for case in self.cases(images)],
                counted=("image", "images"),
            ),
        ]

    def cases(self, images: Sequence[ImageRecords]) -> Sequence[Case]:
        """Returns all images by their best F-measure."""
        counts = np.array([image.values["edges"] for image in images])
        best = f_measure(*precision_recall(counts)).max(axis=1)
        return [
            Case(float(score), image.name, None, "F-measure")
            for score, image in zip(best, images, strict=True)
        ]

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns a line on the best threshold."""
        threshold, precision, recall = (
            details["edges"][name] for name in ("threshold", "precision", "recall")
        )
        at = f"threshold {threshold:.3f} of ods"
        return [f"precision {precision:.3f} and recall {recall:.3f} at the {at}"]
