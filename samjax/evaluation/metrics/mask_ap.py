"""Mask AP of detections, as `COCOeval` and LVIS's evaluation summarise it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.datasets.detection_sets import (
    FREQUENCIES,
    annotated_of,
    image_of,
)
from samjax.evaluation.detections import Overlap
from samjax.evaluation.metrics.average_precision import (
    CategoryMatches,
    MatchingRules,
    Rules,
    match_image,
    precision_recall,
)
from samjax.evaluation.metrics.detection_matching import AREA_BANDS, IOU_THRESHOLDS
from samjax.evaluation.metrics.metric import ImageRecords, Metric, Summary
from samjax.evaluation.policies.policy import Round


@dataclass(frozen=True, kw_only=True)
class MaskAp(Metric):
    """Average precision of a round's detections.

    The values of an image get the matches of its detections by category, from which all
    scores follow: `ap` is the mean over IoUs from 0.5 to 0.95, 101 recalls and the
    categories with an object; `ap50` and `ap75` are at one IoU, `ap_small` and so on in
    a band of areas, `ap_rare` and so on of LVIS's groups of categories; `ar` is the mean
    recall. Scores without an object are left out.

    Attributes:
        rules: COCO's or LVIS's rules.
        max_detections: Most detections, per category (COCO) or over all (LVIS).
        overlap: IoU of masks, or boundary IoU.
        paper: Figures of the paper to print beside, by model and score.
    """

    rules: Rules = "coco"
    max_detections: int = 100
    overlap: Overlap = "mask"
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def _field(self) -> str:
        return "detections" if self.overlap == "mask" else "detections_boundary"

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the matches of the round's detections."""
        if round.detections is None:
            return
        image = image_of(sample)
        rules = MatchingRules(
            rules=self.rules,
            max_detections=self.max_detections,
            overlap=self.overlap,
            negative=frozenset(image.get("negative", ())),
            not_exhaustive=frozenset(image.get("not_exhaustive", ())),
        )
        matches = match_image(round.detections, annotated_of(sample), rules)
        frequencies = image.get("frequencies", {})
        records.values[self._field] = {
            "image": image.get("id", 0),
            "categories": {
                str(category): {
                    **of_category.to_json(),
                    "frequency": frequencies.get(str(category)),
                }
                for category, of_category in matches.items()
            },
        }

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the scores of a dataset."""
        # By id, since the order of images decides between equal scores in COCO's code.
        recorded = sorted(
            (image.values[self._field] for image in images),
            key=lambda values: values["image"],
        )
        by_category: dict[int, list[CategoryMatches]] = defaultdict(list)
        frequencies = {}
        for values in recorded:
            for category, fields in values["categories"].items():
                by_category[int(category)].append(CategoryMatches.from_json(fields))
                # Known of the images that have an object of the category.
                known = fields["frequency"] or frequencies.get(int(category))
                frequencies[int(category)] = known
        if not by_category:
            return Summary()
        categories = sorted(by_category)
        curves = [precision_recall(by_category[category]) for category in categories]
        precision = np.stack([curve[0] for curve in curves], axis=-1)
        recall = np.stack([curve[1] for curve in curves], axis=-1)
        groups = np.array([frequencies[category] or "" for category in categories])
        return Summary(
            scores=self._scores(precision, recall, groups),
            details={"paper": dict(self.paper)} if self.paper else {},
        )

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns lines of the paper's figures."""
        if not self.paper:
            return []
        sets = {"coco": "COCO val2017", "lvis": "LVIS v1 val"}[self.rules]
        return [
            f"in the paper, {model} from ViTDet-H's boxes on {sets}: "
            + ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            for model, figures in details.get("paper", {}).items()
        ]

    def _scores(
        self, precision: np.ndarray, recall: np.ndarray, groups: np.ndarray
    ) -> Mapping[str, float]:
        """Returns means over what is not NaN: precision (a, t, r, k), recall (a, t, k)."""
        prefix = "" if self.overlap == "mask" else "boundary_"
        parts: dict[str, Any] = {"ap": precision[0]}
        for name, value in (("ap50", 0.5), ("ap75", 0.75)):
            parts[name] = precision[0, np.isclose(IOU_THRESHOLDS, value)]
        for index, band in enumerate(AREA_BANDS):
            if index:
                parts[f"ap_{band}"] = precision[index]
        for letter, name in FREQUENCIES.items():
            parts[f"ap_{name}"] = precision[0][..., groups == letter]
        parts["ar"] = recall[0]
        return {
            prefix + name: float(np.nanmean(part))
            for name, part in parts.items()
            if not np.isnan(part).all()
        }
