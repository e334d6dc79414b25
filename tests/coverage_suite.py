"""An evaluation suite in one file: how many objects a grid of points covers.

A worked example of `samjax.evaluation.suites`, and what its tests add to the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.metrics.metric import ImageRecords, Metric, Summary, objects_of
from samjax.evaluation.policies.grid import Grid
from samjax.evaluation.policies.policy import Round
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import SuiteOptions
from samjax.geometry.masks import mask_iou


@dataclass(frozen=True, kw_only=True)
class Recall(Metric):
    """Share of objects that a mask of the grid matches.

    Attributes:
        threshold: Least IoU of a match.
    """

    threshold: float

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the best IoU of every object so far, and counts the masks."""
        masks = np.stack([response.mask for response in round.responses])
        ious = mask_iou(sample.targets, masks).max(axis=1)
        for record, iou in zip(records.objects, ious, strict=True):
            record["best"] = max(record.get("best", 0.0), float(iou))
        records.values["masks"] = records.values.get("masks", 0) + len(masks)

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the share of matched objects."""
        best = np.array([record["best"] for record in objects_of(images)])
        masks = [image.values["masks"] for image in images]
        return Summary(
            per_object={"recall": (best >= self.threshold).astype(float)},
            scores={"masks": float(np.mean(masks))},
        )


@dataclass(frozen=True, kw_only=True)
class Coverage(SuiteOptions):
    """Options of the suite."""

    points_per_side: int = 8
    """Points along each side of the grid."""

    threshold: float = 0.5
    """Least IoU of a match."""

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Returns the suite on datasets."""
        datasets = tuple(open_dataset(path, Selection(min_area=1)) for path in data)
        return Suite(
            name="coverage",
            datasets=datasets,
            policies=(Grid(points_per_side=self.points_per_side),),
            metrics=(Recall(threshold=self.threshold),),
            protocol={"points_per_side": self.points_per_side},
            heading="coverage",
        )
