"""SAM's own figures of the sets, beside those that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samjax.evaluation.metrics.metric import ImageRecords, Metric

# Table 6 of SAM 2's paper; SAM's own prints no absolute IoU.
_MEANS_OF_23 = {"1": 0.581, "5": 0.813}


@dataclass(frozen=True, kw_only=True)
class PaperFigures(Metric):
    """What the paper says of sets, as a table of the result and lines below the scores.

    Attributes:
        figures: By name of the set, the fields of `PaperCounts`.
        are_all: Whether these are all sets of the paper.
    """

    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    are_all: bool = False

    def pooled(self, images: Sequence[ImageRecords]) -> Mapping[str, Any]:
        """Returns the figures."""
        if not self.figures:
            return {}
        means = {"mean_of_sets": dict(_MEANS_OF_23)} if self.are_all else {}
        return {"paper": {**self.figures, **means}}

    def pooled_notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns a line per set."""
        lines = [
            f"{name}, SAM's paper: {figures['images']:,} photos, {figures['masks']:,} "
            f"masks; ViT-H {figures['above_ritm']:+.1f} points of RITM after one click"
            for name, figures in self.figures.items()
        ]
        if self.are_all:
            lines.append(
                "mean of the sets, ViT-H (SAM 2's paper): "
                f"{_MEANS_OF_23['1']} after 1 click, {_MEANS_OF_23['5']} after 5"
            )
        return lines
