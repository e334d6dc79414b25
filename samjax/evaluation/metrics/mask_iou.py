"""Mean IoU over objects, as SAM has it within a dataset (section 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import (
    Case,
    Chart,
    ImageRecords,
    Metric,
    Summary,
    objects_of,
)
from samjax.evaluation.policies.policy import Round


def short_name(name: str) -> str:
    """Shortens the name of a score after clicks.

    `click_3` becomes `3`, `click_3_oracle` becomes `oracle_3`, and `click_1_oracle`
    becomes `oracle`; names of other prompts stay.
    """
    kind, _, rest = name.partition("_")
    if kind != "click":
        return name
    clicks, _, oracle = rest.partition("_")
    if not oracle:
        return clicks
    return "oracle" if clicks == "1" else f"oracle_{clicks}"


@dataclass(frozen=True, kw_only=True)
class MaskIou(Metric):
    """True and predicted IoU of the scored mask of each round.

    Records get `iou` and `predicted`, by names of rounds; `NAME_oracle` is the best mask
    of the multimask output by true IoU.

    Attributes:
        rename: Maps these names to those of the scores.
        predicted: Whether predicted IoUs are recorded.
    """

    rename: Callable[[str], str] = str
    predicted: bool = True

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the IoUs of the responses."""
        if not round.is_scored:
            return
        for response in round.responses:
            if response.index is None:
                continue
            record = records.objects[response.index]
            name = self.rename(round.name)
            ious = record.setdefault("iou", {})
            ious[name] = response.iou
            if round.has_oracle:
                ious[self.rename(f"{round.name}_oracle")] = response.oracle_iou
            if self.predicted:
                predicted = record.setdefault("predicted", {})
                if response.predicted_iou is not None:
                    predicted[name] = response.predicted_iou

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes mean IoUs over all objects."""
        records = list(objects_of(images))
        names = records[0].get("iou", {}) if records else ()
        return Summary(
            per_object={
                name: np.array([record["iou"][name] for record in records])
                for name in names
            }
        )

    def charts(self, images: Sequence[ImageRecords]) -> Sequence[Chart]:
        """Returns a histogram of the IoUs of every score."""
        return [
            Chart(
                heading=f"IoU, {name}",
                note=f"mean {values.mean():.3f}",
                across="IoU",
                values=values.tolist(),
            )
            for name, values in self.summarize(images).per_object.items()
        ]

    def cases(self, images: Sequence[ImageRecords]) -> Sequence[Case]:
        """Returns all objects by the IoU of the first round."""
        return [
            Case(record["iou"][name], image.name, index, f"IoU, {name}")
            for image in images
            for index, record in enumerate(image.objects)
            for name in list(record.get("iou", {}))[:1]
        ]
