"""Numbers of photos and masks by group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samjax.evaluation.metrics.metric import ImageRecords, Metric, Summary

MOST_LISTED = 12
"""Groups that are printed; the result has all of them."""


@dataclass(frozen=True, kw_only=True)
class GroupCounts(Metric):
    """Counts by the groups in the objects' records, and their shares of all.

    Attributes:
        field: Field of the records with the groups by attribute.
        figures: Shares of the paper by attribute and group.
    """

    field: str
    figures: Mapping[str, Mapping[str, float]] | None = None

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Counts the photos and masks of every group."""
        photos: dict[str, Counter[str]] = {}
        masks: dict[str, Counter[str]] = {}
        for image in images:
            seen = set()
            for record in image.objects:
                for attribute, group in record[self.field].items():
                    masks.setdefault(attribute, Counter())[group] += 1
                    seen.add((attribute, group))
            for attribute, group in seen:
                photos.setdefault(attribute, Counter())[group] += 1
        tables = {
            attribute: {
                group: {
                    "photos": photos[attribute][group],
                    "masks": count,
                    "share_of_photos": photos[attribute][group]
                    / photos[attribute].total(),
                    "share_of_masks": count / counts.total(),
                    "masks_per_photo": count / photos[attribute][group],
                }
                for group, count in counts.most_common()
            }
            for attribute, counts in sorted(masks.items())
        }
        return Summary(details={"counts": tables})

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns a line per group, the largest first."""
        lines = []
        for attribute, groups in details.get("counts", {}).items():
            figures = (self.figures or {}).get(attribute, {})
            for name, counts in list(groups.items())[:MOST_LISTED]:
                paper = f"; SA-1B {figures[name]:.1%}" if name in figures else ""
                lines.append(
                    f"{attribute}: {name} {counts['photos']} photos "
                    f"({counts['share_of_photos']:.1%}{paper}), {counts['masks']} masks, "
                    f"{counts['masks_per_photo']:.1f} a photo"
                )
            if len(groups) > MOST_LISTED:
                lines.append(f"{attribute}: {len(groups) - MOST_LISTED} groups more")
        return lines
