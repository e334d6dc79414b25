"""Mean IoU of groups of objects, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samjax.evaluation.group_differences import compare_groups
from samjax.evaluation.intervals import FEW_IMAGES
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    image_indices,
    objects_of,
)

MOST_COMPARED = 12
"""Groups of an attribute beyond which pairs are not compared: 50 countries have 1,225."""


@dataclass(frozen=True, kw_only=True)
class GroupMeans(Metric):
    """Means of the IoUs that `MaskIou` records, by the groups in the objects' records.

    Attributes:
        field: Field of the records with the groups by attribute.
        scores: Names of the IoUs to compare.
        level: Confidence of intervals and differences.
        paired: Whether groups are drawn from the same images.
        seed: Seed of the draws.
        figures: Means of the paper by attribute, name of the score and group.
    """

    field: str
    scores: tuple[str, ...]
    level: float = 0.95
    paired: bool = True
    seed: int = 0
    figures: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Compares the groups of every attribute at every score."""
        records = list(objects_of(images))
        index = image_indices(images)
        attributes = sorted({name for record in records for name in record[self.field]})
        tables: dict[str, Any] = {}
        for attribute in attributes:
            own = [
                number
                for number, record in enumerate(records)
                if attribute in record[self.field]
            ]
            groups = [records[number][self.field][attribute] for number in own]
            tables[attribute] = {
                score: compare_groups(
                    np.array([records[number]["iou"][score] for number in own]),
                    index[own],
                    groups,
                    level=self.level,
                    paired=self.paired,
                    seed=self.seed,
                    compare=len(set(groups)) <= MOST_COMPARED,
                ).as_table()
                for score in self.scores
            }
        return Summary(details={"groups": tables})

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns a line per group and score, and one per difference."""
        lines = []
        for attribute, of_scores in details.get("groups", {}).items():
            for score, table in of_scores.items():
                place = f"{attribute}, {score}"
                figures = ((self.figures or {}).get(attribute) or {}).get(score) or {}
                lines += [
                    f"{place}: {name} {_mean(group)}"
                    f"{f'; the paper {figures[name]:.3f}' if name in figures else ''}"
                    for name, group in table["groups"].items()
                ]
                lines += [f"{place}: {_verdict(one)}" for one in table["differences"]]
                if few := [
                    name
                    for name, group in table["groups"].items()
                    if group["images"] < FEW_IMAGES
                ]:
                    lines.append(
                        f"{place}: too few photos for its intervals: {', '.join(few)}"
                    )
        return lines


def _mean(group: Mapping[str, Any]) -> str:
    low, high = group["interval"]
    return (
        f"{group['mean']:.3f} ({low:.3f} to {high:.3f}; {group['objects']} objects in "
        f"{group['images']} photos)"
    )


def _verdict(pair: Mapping[str, Any]) -> str:
    low, high = pair["interval"]
    verdict = "differ" if pair["differs"] else "no difference found"
    return (
        f"{pair['first']} less {pair['second']} {pair['difference']:+.3f} ({low:+.3f} to "
        f"{high:+.3f}), p {pair['p_holm']:.2g} after Holm: {verdict}"
    )
