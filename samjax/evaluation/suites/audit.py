"""Audit of automatic masks (SAM, section 5): their IoU with masks that people corrected.

The paper had all masks of 500 photos corrected: 94 % of the pairs have an IoU above 0.90
and 97 % above 0.75.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.mask_records import RecordSamples, open_records
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    objects_of,
)
from samjax.evaluation.policies.no_prompts import NoPrompts
from samjax.evaluation.policies.policy import Round
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions
from samjax.geometry.masks import mask_iou

NAME = "audit"
THRESHOLDS = (0.90, 0.75)
CORRECTED = "corrected"

Pairs = Literal["id", "iou"]

_PAPER = {"above_0.90": 0.94, "above_0.75": 0.97}


@dataclass(frozen=True, kw_only=True)
class Audit(SuiteOptions):
    """Options of the suite."""

    needs_model: ClassVar[bool] = False

    corrected: tuple[Path, ...] = ()
    """The corrected masks, one path per path of --data: a COCO file or a folder with one,
    or a folder of SA-1B's records, of the same photos."""

    pairs: Pairs = "iou"
    """What a mask is compared with: the corrected mask of the same id, or one to one that
    of the highest IoU."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    seed: int = 0
    """Seed of the intervals."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that both kinds of masks are named.

        Raises:
            OptionError: It is not so.
        """
        if not data or len(data) != len(self.corrected):
            raise OptionError(
                "--suite audit: name the automatic masks with --data and as many paths "
                "of corrected masks with --corrected"
            )
        if self.images is not None and self.images < 1:
            raise OptionError(f"--images {self.images}: expected at least 1")

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and returns the suite."""
        return Suite(
            name=NAME,
            datasets=tuple(
                AuditedSamples(
                    samples=open_records(automatic, self.images),
                    corrected=open_records(corrected),
                    pairs=self.pairs,
                )
                for automatic, corrected in zip(data, self.corrected, strict=True)
            ),
            policies=(NoPrompts(),),
            metrics=(PairIous(),),
            protocol={
                "pairs": self.pairs,
                "thresholds": list(THRESHOLDS),
                "images": self.images,
                "intervals": "95 %, percentile bootstrap over images",
                "seed": self.seed,
            },
            deviations=("other masks than the paper's 50,000 of 500 photos of SA-1B",),
            heading="automatic masks",
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditedSamples:
    """Photos with automatic and corrected masks as a `Dataset`.

    Attributes:
        samples: The automatic masks.
        corrected: The corrected ones.
        pairs: How they are paired.
    """

    samples: RecordSamples
    corrected: RecordSamples
    pairs: Pairs = "iou"

    @property
    def name(self) -> str:
        """Name of the set of automatic masks."""
        return self.samples.name

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Parts of either set that were left out."""
        return [*self.samples.skipped, *self.corrected.skipped]

    @property
    def small(self) -> int:
        """Zero: masks of all sizes are compared."""
        return 0

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {
            _stem(record["image"]["file_name"]): index
            for index, record in enumerate(self.corrected.records)
        }

    def index_of_corrected(self, name: str) -> int | None:
        """Returns the index of a photo in the corrected set; None if it is not there.

        Args:
            name: Name of the photo; its suffix does not matter.
        """
        return self._by_name.get(_stem(name))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        sample = self.samples[index]
        if isinstance(sample, Skipped):
            return sample
        other = self.index_of_corrected(sample.name)
        if other is None:
            return Skipped(sample.name, "no corrected masks of the photo")
        corrected = self.corrected[other]
        if isinstance(corrected, Skipped):
            return corrected
        if corrected.targets.shape[1:] != sample.targets.shape[1:]:
            return Skipped(sample.name, "corrected masks of another size")
        ious = mask_iou(sample.targets, corrected.targets)
        ids = [record["annotation"] for record in corrected.objects]
        own = [record["annotation"] for record in sample.objects]
        partner = _same_ids(own, ids) if self.pairs == "id" else _best_pairs(ious)
        kept = sorted(partner)
        removed = len(own) - len(kept)
        added = len(ids) - len(set(partner.values()))
        skipped = [
            *[Skipped(sample.name, "masks that were removed")] * removed,
            *[Skipped(sample.name, "masks that were added")] * added,
        ]
        return dataclasses.replace(
            sample,
            targets=sample.targets[kept],
            objects=[
                {**sample.objects[number], CORRECTED: ids[partner[number]]}
                for number in kept
            ],
            truth={"ious": [float(ious[number, partner[number]]) for number in kept]},
            skipped=[*sample.skipped, *skipped],
        )


@dataclass(frozen=True, kw_only=True)
class PairIous(Metric):
    """Mean IoU of pairs, and shares of pairs above thresholds, as means over masks."""

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the IoU of every pair."""
        for record, iou in zip(records.objects, sample.truth["ious"], strict=True):
            record["iou"] = iou

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the mean and the shares."""
        ious = np.array([record["iou"] for record in objects_of(images)])
        shares = {
            f"above_{threshold:.2f}": (ious > threshold).astype(float)
            for threshold in THRESHOLDS
        }
        return Summary(
            per_object={"iou": ious, **shares}, details={"paper": dict(_PAPER)}
        )

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns a line with the paper's shares."""
        shares = ", ".join(
            f"{value:.0%} above {name.removeprefix('above_')}"
            for name, value in _PAPER.items()
        )
        return [f"SA-1B in the paper: {shares}"]


def _stem(name: str) -> str:
    return Path(name).stem


def _same_ids(own: Sequence[Any], ids: Sequence[Any]) -> dict[int, int]:
    index = {identity: number for number, identity in enumerate(ids)}
    return {
        number: index[identity]
        for number, identity in enumerate(own)
        if identity in index
    }


def _best_pairs(ious: np.ndarray) -> dict[int, int]:
    """Pairs masks one to one, the highest IoU first; masks that do not meet are alone."""
    left = ious.copy()
    partner: dict[int, int] = {}
    while left.size and left.max() > 0:
        number, other = np.unravel_index(left.argmax(), left.shape)
        partner[int(number)] = int(other)
        left[number], left[:, other] = 0, 0
    return partner
