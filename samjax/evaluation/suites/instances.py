"""Instance segmentation from given boxes (SAM, section 7.4): mask AP of COCO or LVIS.

A mask for every box of a detector, which keeps the detector's score and category, or for
every ground-truth box.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.datasets.detection_data import (
    open_detection_data,
    with_results,
)
from samjax.evaluation.datasets.detection_sets import DetectionSet
from samjax.evaluation.edge_detectors import EDGE_DETECTORS
from samjax.evaluation.metrics.average_precision import Rules
from samjax.evaluation.metrics.kept_masks import KeptMasks
from samjax.evaluation.metrics.mask_ap import MaskAp
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.policies.boxed_masks import BoxedMasks, Choice
from samjax.evaluation.policies.saved_masks import SavedMasks
from samjax.evaluation.segmenters.saved import SavedResults
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions
from samjax.files import sha256_of

NAME = "instances"

MAX_DETECTIONS: dict[Rules, int] = {"coco": 100, "lvis": 300}


def _row(*figures: float) -> dict[str, float]:
    return dict(zip(("ap", "ap_small", "ap_medium", "ap_large"), figures, strict=True))


PAPER: dict[Rules, Mapping[str, Mapping[str, float]]] = {
    "coco": {
        "SAM's ViT-H": _row(0.465, 0.308, 0.510, 0.617),
        "ViTDet-H": _row(0.510, 0.320, 0.543, 0.689),
    },
    "lvis": {
        "SAM's ViT-H": _row(0.447, 0.325, 0.576, 0.655),
        "ViTDet-H": _row(0.466, 0.350, 0.580, 0.663),
    },
}
"""Table 5 of the paper, from ViTDet-H's boxes on COCO val2017 and LVIS v1 val."""


@dataclass(frozen=True, kw_only=True)
class Instances(SuiteOptions):
    """Options of the suite."""

    boxes: tuple[Path, ...] = ()
    """For each set a detector's boxes, a COCO file of results; without, the boxes of the
    ground truth."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    refine: int = 1
    """Rounds in which a box is prompted with again, with the logits of its last mask."""

    first: Choice = "best"
    """Mask of the box alone: the best-ranked of three, or the single one."""

    refined: Choice = "single"
    """Mask of box and logits, likewise."""

    rules: Literal["auto", "coco", "lvis"] = "auto"
    """Rules of AP; auto: LVIS's for sets whose categories have a frequency."""

    max_detections: int | None = None
    """Most detections, per image and category for COCO (100), per image for LVIS (300)."""

    boundary: bool = False
    """Boundary AP too: the smaller IoU, of masks or of their boundaries."""

    save_masks: bool = False
    """Write the masks too, as COCO's results beside the result (result.masks.json)."""

    results: tuple[Path, ...] = ()
    """For each set a COCO file of results with masks: those of the segmenter `saved`."""

    @property
    def for_files(self) -> Sequence[str]:
        """`--save-masks`."""
        return ("--save-masks",) if self.save_masks else ()

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data, a model that takes boxes, and sensible numbers.

        Raises:
            OptionError: It is not so.
        """
        if not data:
            raise OptionError(
                "--suite instances: name COCO's or LVIS's files, with photos, with "
                "--data"
            )
        if segmenter in EDGE_DETECTORS:
            raise OptionError(
                f"--segmenter {segmenter}: --suite instances expects a model that takes "
                "boxes"
            )
        if segmenter == "saved" and not self.results:
            raise OptionError(
                "--segmenter saved: name a file of masks for each set with --results"
            )
        for name, least in (("images", 1), ("refine", 0), ("max_detections", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                words = name.replace("_", "-")
                raise OptionError(f"--{words} {value}: expected at least {least}")

    def saved(self) -> SavedResults:
        """Returns the masks of the files of results."""
        return SavedResults(self.results)

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and returns the suite."""
        datasets = [open_detection_data(path, images=self.images) for path in data]
        rules = self.rules if self.rules != "auto" else rules_of(datasets)
        most = self.max_detections or MAX_DETECTIONS[rules]
        if self.results:
            datasets = with_results(datasets, self.results, masks=True)
        if self.boxes:
            # LVIS's cap is over all categories: further boxes are never scored.
            cap = most if rules == "lvis" else None
            datasets = with_results(datasets, self.boxes, masks=False, most=cap)
        return instance_suite(
            datasets,
            BoxedMasks(refine=self.refine, first=self.first, refined=self.refined),
            rules=rules,
            max_detections=most,
            boundary=self.boundary,
            save_masks=self.save_masks,
            protocol={
                "images": self.images,
                "boxes": [
                    {"name": path.name, "sha256": sha256_of(path)}
                    for path in self.boxes
                ]
                or "ground truth",
            },
        )


def rules_of(datasets: Sequence[Dataset]) -> Rules:
    """Returns the rules of AP for datasets.

    Args:
        datasets: The datasets.

    Raises:
        ValueError: Some are LVIS's and some not.
    """
    kinds: set[Rules] = {
        "lvis"
        if isinstance(dataset, DetectionSet) and dataset.has_frequencies
        else "coco"
        for dataset in datasets
    }
    if len(kinds) != 1:
        raise ValueError(
            "got sets of COCO's kind and of LVIS's, expected one kind in a run: name "
            "the rules of all with --rules"
        )
    return kinds.pop()


def instance_suite(
    datasets: Sequence[Dataset],
    policy: BoxedMasks,
    *,
    rules: Rules = "coco",
    max_detections: int | None = None,
    boundary: bool = False,
    save_masks: bool = False,
    protocol: dict[str, Any] | None = None,
) -> Suite:
    """Returns the suite.

    Args:
        datasets: The sets; those with a detector's boxes are prompted with these.
        policy: How masks are made. `SavedResults` is scored by the masks of the sets.
        rules: Rules of AP.
        max_detections: Most detections; None for those of COCO or LVIS.
        boundary: Whether boundary AP is computed too.
        save_masks: Whether masks are kept among the records, for `results_of`.
        protocol: Further choices to list.

    Raises:
        ValueError: There is no dataset.
    """
    most = max_detections or MAX_DETECTIONS[rules]
    from_truth = all(
        not isinstance(dataset, DetectionSet) or dataset.boxes is None
        for dataset in datasets
    )
    metrics = [
        MaskAp(
            rules=rules, max_detections=most, paper={} if from_truth else PAPER[rules]
        )
    ]
    if boundary:
        metrics.append(MaskAp(rules=rules, max_detections=most, overlap="boundary"))
    return Suite(
        name=NAME,
        datasets=tuple(datasets),
        policies=(policy, SavedMasks()),
        metrics=(
            *metrics,
            *([MaskIou()] if from_truth else []),
            *([KeptMasks()] if save_masks else []),
        ),
        protocol={
            **(protocol or {}),
            "rules": rules,
            "save_masks": save_masks,
            "boundary": boundary,
            "max_detections": most,
            "iou": "mean over 0.5, 0.55, ..., 0.95",
            "areas": "of the file; 32^2 and 96^2 pixels, ends in both bands",
            "score": "the detector's; 1 for ground-truth boxes",
            **dataclasses.asdict(policy),
        },
        deviations=_deviations(policy, from_truth),
        heading="mask AP",
    )


def _deviations(policy: BoxedMasks, from_truth: bool) -> tuple[str, ...]:
    """Returns where the protocol departs from the paper, or the paper leaves it open."""
    refined = {"single": "the single mask", "best": "the best-ranked of three"}
    deviations = [
        "the paper does not state which output follows the refinement: "
        + refined[policy.refined]
    ]
    if policy.refine != 1:
        deviations.append(
            f"{policy.refine} rounds of refinement, where the paper has 1"
        )
    if policy.first != "best":
        deviations.append(
            "the single mask of the box, where the paper takes the best-ranked"
        )
    if from_truth:
        deviations.append("ground-truth boxes, where the paper has a detector's")
    return tuple(deviations)
