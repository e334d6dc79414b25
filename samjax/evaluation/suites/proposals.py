"""Object proposals (SAM, section 7.3): class-agnostic mask AR@1000.

Everything mode with a dense grid, its masks ranked and cut, against all objects of a set,
by size and, on LVIS, by the frequency of their categories.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.datasets.detection_data import (
    open_detection_data,
    with_results,
)
from samjax.evaluation.edge_detectors import EDGE_DETECTORS
from samjax.evaluation.metrics.average_recall import AverageRecall, Matching
from samjax.evaluation.metrics.kept_masks import KeptMasks
from samjax.evaluation.policies.proposals import Output, Proposals, Ranking
from samjax.evaluation.policies.saved_masks import SavedMasks
from samjax.evaluation.segmenters.saved import SavedResults
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions

NAME = "proposals"

COUNTS = (10, 100, 1000)

_COLUMNS = ("", "_small", "_medium", "_large", "_frequent", "_common", "_rare")


def _row(*figures: float) -> dict[str, float]:
    names = [f"ar@1000{column}" for column in _COLUMNS]
    return dict(zip(names, figures, strict=True))


PAPER = {
    "ViT-H": _row(0.593, 0.455, 0.816, 0.869, 0.591, 0.639, 0.658),
    "ViT-H, single output": _row(0.549, 0.428, 0.767, 0.744, 0.547, 0.598, 0.620),
    "ViTDet-H": _row(0.630, 0.517, 0.808, 0.870, 0.631, 0.633, 0.583),
}
"""Table 4 of the paper, on LVIS v1 val."""


@dataclass(frozen=True, kw_only=True)
class ObjectProposals(SuiteOptions):
    """Options of the suite."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    points_per_side: int | None = None
    """Points along each side of the grid (default: 64; with --output single 128)."""

    output: Output = "multimask"
    """Three masks of a point, or the single one."""

    nms: float | None = None
    """IoU of boxes above which the lower-ranked of two masks is dropped (default: 0.9;
    with --output single 0.95)."""

    pred_iou: float = 0.0
    """Least predicted IoU, exclusive; 0 for none."""

    stability: float = 0.0
    """Least stability score; 0 for none."""

    ranking: Ranking | None = None
    """Score of a mask; mean: of predicted IoU and stability score (default: mean; with
    --output single random)."""

    matching: Matching = "greedy"
    """greedy: COCO's rule; optimal: as many pairs as possible; best: a mask may match
    several objects."""

    counts: tuple[int, ...] = COUNTS
    """Numbers of best-ranked masks to score at; the largest by size and frequency."""

    save_masks: bool = False
    """Write the masks too, as COCO's results beside the result (result.masks.json)."""

    results: tuple[Path, ...] = ()
    """For each set a COCO file of results with masks: those of the segmenter `saved`."""

    seed: int = 0
    """Seed of the bootstrap, and of a random ranking."""

    @property
    def for_files(self) -> Sequence[str]:
        """`--save-masks`."""
        return ("--save-masks",) if self.save_masks else ()

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data, a model that takes points, and sensible numbers.

        Raises:
            OptionError: It is not so.
        """
        if not data:
            raise OptionError(
                "--suite proposals: name sets of photos with masks with --data"
            )
        if segmenter in (*EDGE_DETECTORS, "grabcut"):
            raise OptionError(
                f"--segmenter {segmenter}: --suite proposals expects a model that takes "
                "points"
            )
        if segmenter == "saved" and not self.results:
            raise OptionError(
                "--segmenter saved: name a file of masks for each set with --results"
            )
        for name in ("images", "points_per_side"):
            value = getattr(self, name)
            if value is not None and value < 1:
                words = name.replace("_", "-")
                raise OptionError(f"--{words} {value}: expected at least 1")
        if not self.counts or min(self.counts) < 1:
            raise OptionError("--counts: expected numbers of at least 1")
        for name in ("nms", "stability"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"--{name} {value}: expected a number from 0 to 1")

    def policy(self) -> Proposals:
        """Returns how proposals are made; the paper's numbers for what is left open."""
        is_single = self.output == "single"
        usual = (128, 0.95, "random") if is_single else (64, 0.9, "mean")
        side, nms, ranking = usual
        return Proposals(
            points_per_side=self.points_per_side or side,
            output=self.output,
            nms=nms if self.nms is None else self.nms,
            pred_iou=self.pred_iou,
            stability=self.stability,
            ranking=self.ranking or ranking,
            most=max(self.counts),
            seed=self.seed,
        )

    def saved(self) -> SavedResults:
        """Returns the masks of the files of results."""
        return SavedResults(self.results)

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and returns the suite."""
        datasets = [
            open_detection_data(path, images=self.images, with_objects=True)
            for path in data
        ]
        if self.results:
            datasets = with_results(
                datasets, self.results, masks=True, categories=False
            )
        return proposal_suite(
            datasets,
            self.policy(),
            counts=self.counts,
            matching=self.matching,
            save_masks=self.save_masks,
            protocol={"images": self.images},
            seed=self.seed,
        )


def proposal_suite(
    datasets: Sequence[Dataset],
    policy: Proposals,
    *,
    counts: Sequence[int] = COUNTS,
    matching: Matching = "greedy",
    save_masks: bool = False,
    protocol: dict[str, Any] | None = None,
    seed: int = 0,
) -> Suite:
    """Returns the suite.

    Args:
        datasets: The sets.
        policy: How proposals are made. `SavedResults` is scored by the masks of the sets.
        counts: Numbers of best-ranked proposals to score at.
        matching: How proposals and objects are paired.
        save_masks: Whether masks are kept among the records, for `results_of`.
        protocol: Further choices to list.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: There is no dataset.
    """
    numbers = tuple(sorted(set(counts)))
    return Suite(
        name=NAME,
        datasets=tuple(datasets),
        policies=(policy, SavedMasks()),
        metrics=(
            AverageRecall(counts=numbers, matching=matching, paper=PAPER),
            *([KeptMasks()] if save_masks else []),
        ),
        protocol={
            **(protocol or {}),
            "counts": list(numbers),
            "save_masks": save_masks,
            "matching": matching,
            "categories": "none: any proposal matches any object",
            "iou": "mean over 0.5, 0.55, ..., 0.95",
            "areas": "of the ground truth: 32^2 and 96^2 pixels, ends in both bands",
            "crowds": "neither found nor missed",
            **dataclasses.asdict(policy),
            "intervals": "95 %, percentile bootstrap over images",
        },
        deviations=_deviations(policy, matching),
        heading="AR",
        seed=seed,
    )


def _deviations(policy: Proposals, matching: Matching) -> tuple[str, ...]:
    """Returns where the protocol departs from the paper, or the paper leaves it open."""
    deviations = []
    if matching != "greedy":
        deviations.append(
            f"{matching} matching of masks and objects, where COCO's is greedy"
        )
    deviations.append(
        "the paper does not state the score of NMS: predicted IoU, as in the release"
    )
    paper = ObjectProposals(output=policy.output).policy()
    for field in dataclasses.fields(policy):
        own, usual = getattr(policy, field.name), getattr(paper, field.name)
        if field.name not in ("seed", "output") and own != usual:
            deviations.append(f"{field.name} {own}, where the paper has {usual}")
    return tuple(deviations)
