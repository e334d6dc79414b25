"""AR@K of object proposals: class-agnostic average recall (SAM, section 7.3).

The mean over objects, and over the IoUs 0.5, 0.55, ..., 0.95, of whether one of the K
best-ranked proposals of the image matches the object. The paper's authors confirm both:
no categories, and COCO's mean over IoUs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.datasets.detection_sets import (
    FREQUENCIES,
    annotated_of,
    image_of,
)
from samjax.evaluation.detections import overlaps
from samjax.evaluation.metrics.detection_matching import (
    AREA_BANDS,
    IOU_THRESHOLDS,
    in_band,
    match_detections,
)
from samjax.evaluation.metrics.metric import (
    Case,
    ImageRecords,
    Metric,
    Summary,
    objects_of,
)
from samjax.evaluation.policies.policy import Round

Matching = Literal["greedy", "optimal", "best"]


def recall_of_objects(
    ious: Float[np.ndarray, "d g"],
    groups: Bool[np.ndarray, "a g"],
    counts: Sequence[int],
    *,
    matching: Matching = "greedy",
    thresholds: Float[np.ndarray, " t"] = IOU_THRESHOLDS,
) -> Float[np.ndarray, "a k g"]:
    """Returns for every object the share of thresholds at which a proposal matches it.

    Args:
        ious: IoU of every proposal, best-ranked first, with every object.
        groups: The objects of each group, which are matched without the others.
        counts: Numbers of best-ranked proposals to count.
        matching: `greedy`, COCO's rule: by rank, each proposal takes the free object of
            highest IoU that reaches the threshold; `optimal`, as many pairs as possible;
            `best`, a proposal may match several objects.
        thresholds: Thresholds of IoU.

    Returns:
        The shares; 0 for objects that are not of the group.

    Raises:
        ImportError: The matching is `optimal`, and scipy is missing.
    """
    shares = np.zeros((len(groups), len(counts), ious.shape[1]))
    if not ious.size:
        return shares
    if matching == "greedy":
        ranks = _ranks(match_detections(ious, ~groups, None, thresholds), ious.shape)
        for k, count in enumerate(counts):
            shares[:, k] = (ranks < count).mean(axis=1)
        return shares * groups[:, None]
    for k, count in enumerate(counts):
        reached = ious[:count] >= np.minimum(thresholds, 1 - 1e-10)[:, None, None]
        if matching == "best":
            shares[:, k] = reached.any(axis=1).mean(axis=0)
        else:
            for row, group in enumerate(groups):
                shares[row, k, group] = np.mean(
                    [_paired(part) for part in reached[:, :, group]], axis=0
                )
    return shares * groups[:, None]


@dataclass(frozen=True, kw_only=True)
class AverageRecall(Metric):
    """AR@K of a round's detections, by size and by LVIS's frequency.

    Records of objects get `recall`, their shares of matched thresholds, by names of
    scores: `ar@1000` for each K, and for the largest `ar@1000_small` and so on for bands
    of ground-truth areas, and `ar@1000_rare` and so on.

    Attributes:
        counts: Numbers of best-ranked proposals, ascending.
        matching: How proposals and objects are paired (`recall_of_objects`).
        paper: Figures of the paper beside sets with frequencies, by model and score.
    """

    counts: tuple[int, ...] = (10, 100, 1000)
    matching: Matching = "greedy"
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the recall of the objects, and the number of proposals."""
        if round.detections is None:
            return
        order = np.argsort([-found.score for found in round.detections], kind="stable")
        ranked = [round.detections[index] for index in order[: max(self.counts)]]
        records.values["proposals"] = len(ranked)
        truth = [entry for entry in annotated_of(sample) if not entry.crowd]
        ious = overlaps(
            [found.mask for found in ranked],
            [entry.mask for entry in truth],
            np.zeros(len(truth), bool),
        )
        groups = self._groups(sample)
        shares = recall_of_objects(
            ious, np.array(list(groups.values())), self.counts, matching=self.matching
        )
        for index, record in enumerate(records.objects):
            recall = {
                f"ar@{count}": float(shares[0, k, index])
                for k, count in enumerate(self.counts)
            }
            for row, (name, group) in enumerate(groups.items()):
                if name and group[index]:
                    recall[f"ar@{self.counts[-1]}_{name}"] = float(
                        shares[row, -1, index]
                    )
            record["recall"] = recall

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the mean recalls; an object of another group has NaN."""
        recalls = [record["recall"] for record in objects_of(images)]
        found = {name for recall in recalls for name in recall}
        last = self.counts[-1]
        groups = [*list(AREA_BANDS)[1:], *FREQUENCIES.values()]
        names = [f"ar@{count}" for count in reversed(self.counts)]
        names += [f"ar@{last}_{group}" for group in groups]
        has_frequency = any(f"ar@{last}_{of}" in found for of in FREQUENCIES.values())
        proposals = [image.values["proposals"] for image in images]
        return Summary(
            per_object={
                name: np.array([recall.get(name, np.nan) for recall in recalls])
                for name in names
                if name in found
            },
            details={
                "proposals": {
                    "mean": float(np.mean(proposals)),
                    "most": max(proposals),
                },
                **({"paper": dict(self.paper)} if has_frequency and self.paper else {}),
            },
        )

    def cases(self, images: Sequence[ImageRecords]) -> Sequence[Case]:
        """Returns all images with an object by the mean recall of their objects."""
        name = f"ar@{self.counts[-1]}"
        return [
            Case(
                float(np.mean([record["recall"][name] for record in image.objects])),
                image.name,
                None,
                name,
            )
            for image in images
            if image.objects
        ]

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns lines on the number of proposals, and of the paper's figures."""
        lines = []
        if "proposals" in details:
            mean, most = (details["proposals"][name] for name in ("mean", "most"))
            lines.append(f"{mean:.0f} proposals a photo, at most {most}")
        for model, figures in details.get("paper", {}).items():
            text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            lines.append(f"in the paper, {model} on LVIS v1 val: {text}")
        return lines

    def _groups(self, sample: Sample) -> dict[str, Bool[np.ndarray, " g"]]:
        """Returns the objects of each group, all of them by the name ''."""
        truth = [entry for entry in annotated_of(sample) if not entry.crowd]
        areas = np.array([entry.area for entry in truth], float)
        groups = {
            "" if name == "all" else name: in_band(areas, band)
            for name, band in AREA_BANDS.items()
        }
        frequencies = image_of(sample).get("frequencies", {})
        letters = np.array(
            [frequencies.get(str(entry.category)) or "" for entry in truth]
        )
        if frequencies:
            for letter, name in FREQUENCIES.items():
                groups[name] = letters == letter
        return groups


def _ranks(
    matched: Int[np.ndarray, "a t d"], shape: tuple[int, ...]
) -> Float[np.ndarray, "a t g"]:
    """Returns the rank of the proposal that matched each object; infinite for none."""
    ranks = np.full((*matched.shape[:2], shape[1]), np.inf)
    for group, threshold, rank in zip(*np.nonzero(matched >= 0), strict=True):
        ranks[group, threshold, matched[group, threshold, rank]] = rank
    return ranks


def _paired(reached: Bool[np.ndarray, "d g"]) -> Bool[np.ndarray, " g"]:
    """Returns the objects with a proposal in a matching of most pairs."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not reached.any():
        return np.zeros(reached.shape[1], bool)
    return maximum_bipartite_matching(csr_array(reached), perm_type="row") >= 0
