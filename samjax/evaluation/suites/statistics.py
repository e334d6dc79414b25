"""Statistics of the masks of datasets (SAM, section 5): from annotations, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from samjax.evaluation.datasets.mask_records import open_records
from samjax.evaluation.metrics.mask_statistics import (
    SIZE_EDGES,
    Centre,
    MaskStatistics,
)
from samjax.evaluation.policies.no_prompts import NoPrompts
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions

NAME = "statistics"


@dataclass(frozen=True, kw_only=True)
class Statistics(SuiteOptions):
    """Options of the suite."""

    needs_model: ClassVar[bool] = False

    images: int | None = None
    """Most images of a set, spread evenly over it (default: all)."""

    centre: Centre = "centroid"
    """The centre of a mask: the mean of its pixels, or the centre of its box."""

    seed: int = 0
    """Seed of the masks that concavity is taken of."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data.

        Raises:
            OptionError: It is not so.
        """
        if not data:
            raise OptionError(
                "--suite statistics: name COCO files, or folders of SA-1B's records, with "
                "--data"
            )
        if self.images is not None and self.images < 1:
            raise OptionError(f"--images {self.images}: expected at least 1")

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Reads the annotations and returns the suite."""
        return Suite(
            name=NAME,
            datasets=tuple(open_records(path, self.images) for path in data),
            policies=(NoPrompts(),),
            metrics=(MaskStatistics(centre=self.centre, seed=self.seed),),
            protocol={
                "relative_size": "root of mask area over image area",
                "concavity": "1 less mask area over the pixels of its filled hull",
                "size_bins": list(SIZE_EDGES),
                "centre": self.centre,
                "images": self.images,
                "seed": self.seed,
            },
            deviations=(
                "the paper does not give the bins of sizes that concavity is drawn from",
                f"the paper does not say which centre it takes: {self.centre}",
            ),
            heading="statistics",
            seed=self.seed,
        )
