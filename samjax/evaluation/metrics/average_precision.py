"""Average precision of detected masks, by COCO's rules and by LVIS's federated ones.

COCO: per image and category the detections of highest score are matched with the objects
(`detection_matching`); detections that match a crowd, or that match nothing and are out
of the band of areas, count neither way. LVIS annotates a part of the categories in an
image: detections of categories that are neither in its ground truth nor known to be
absent are dropped, unmatched ones of categories that are not annotated exhaustively do
not count, and the cap is per image over all categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.evaluation.detections import (
    Annotated,
    Detection,
    Overlap,
    mask_areas,
    overlaps,
)
from samjax.evaluation.metrics.detection_matching import (
    AREA_BANDS,
    IOU_THRESHOLDS,
    in_band,
    match_detections,
)

Rules = Literal["coco", "lvis"]

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is averaged."""


@dataclass(frozen=True, kw_only=True)
class MatchingRules:
    """How the detections of an image are matched.

    Attributes:
        rules: COCO's or LVIS's.
        max_detections: Most detections; per category by COCO's rules, over all
            categories by LVIS's.
        overlap: IoU of masks, or boundary IoU.
        negative: LVIS: categories that are known to be absent.
        not_exhaustive: LVIS: categories of which not all objects are annotated.
    """

    rules: Rules = "coco"
    max_detections: int = 100
    overlap: Overlap = "mask"
    negative: frozenset[int] = frozenset()
    not_exhaustive: frozenset[int] = frozenset()


class CategoryMatches(NamedTuple):
    """The matches of one category in one image, or in several one after the other.

    Attributes:
        scores: Scores of the detections, descending within an image.
        matched: For each band of areas and threshold the detections with an object.
        ignored: Those that count neither as right nor as wrong.
        objects: Number of objects that count in each band.
    """

    scores: Float[np.ndarray, " d"]
    matched: Bool[np.ndarray, "a t d"]
    ignored: Bool[np.ndarray, "a t d"]
    objects: Int[np.ndarray, " a"]

    def to_json(self) -> dict[str, Any]:
        """Returns it in JSON's types, a number of one bit a threshold per detection."""
        return {
            "scores": self.scores.tolist(),
            "matched": _bits(self.matched),
            "ignored": _bits(self.ignored),
            "objects": self.objects.tolist(),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> CategoryMatches:
        """Reads what `to_json` returned.

        Args:
            fields: The object.
        """
        scores = np.array(fields["scores"], float)
        return cls(
            scores=scores,
            matched=_flags(fields["matched"]),
            ignored=_flags(fields["ignored"]),
            objects=np.array(fields["objects"], int),
        )


def match_image(
    detections: Sequence[Detection],
    truth: Sequence[Annotated],
    rules: MatchingRules | None = None,
) -> dict[int, CategoryMatches]:
    """Matches the detections of an image, category by category.

    Args:
        detections: The detections, in any order; of equal scores the first comes first.
        truth: The objects.
        rules: How they are matched; by default COCO's rules.

    Returns:
        The matches by category, of those with a detection or an object.

    Raises:
        ImportError: pycocotools is missing.
    """
    rules = rules or MatchingRules()
    is_lvis = rules.rules == "lvis"
    order = np.argsort([-found.score for found in detections], kind="stable")
    ranked = [detections[index] for index in order]
    annotated = {entry.category for entry in truth}
    if is_lvis:
        known = annotated | rules.negative
        ranked = ranked[: rules.max_detections]
        ranked = [found for found in ranked if found.category in known]
    matches = {}
    for category in sorted(annotated | {found.category for found in ranked}):
        found = [entry for entry in ranked if entry.category == category]
        objects = [entry for entry in truth if entry.category == category]
        if not is_lvis:
            found = found[: rules.max_detections]
        matches[category] = _match_category(
            found, objects, rules.overlap, is_lvis and category in rules.not_exhaustive
        )
    return matches


def precision_recall(
    images: Sequence[CategoryMatches],
) -> tuple[Float[np.ndarray, "a t r"], Float[np.ndarray, "a t"]]:
    """Returns the precision at `RECALLS`, and the largest recall, of a category.

    Args:
        images: Its matches in every image; of equal scores, detections of earlier images
            come first.

    Returns:
        Both, NaN for bands without an object.
    """
    objects = np.sum([of_image.objects for of_image in images], axis=0)
    scores = np.concatenate([of_image.scores for of_image in images])
    matched = np.concatenate([of_image.matched for of_image in images], axis=2)
    ignored = np.concatenate([of_image.ignored for of_image in images], axis=2)
    order = np.argsort(-scores, kind="stable")
    matched, counts = matched[:, :, order], ~ignored[:, :, order]
    right = np.cumsum(matched & counts, axis=2, dtype=float)
    wrong = np.cumsum(~matched & counts, axis=2, dtype=float)
    precision = np.full((*right.shape[:2], len(RECALLS)), np.nan)
    recall = np.full(right.shape[:2], np.nan)
    for band in np.flatnonzero(objects):
        recalls = right[band] / objects[band]
        recall[band] = recalls[:, -1] if len(scores) else 0.0
        # pycocotools' term, by which its precisions differ from the quotient too.
        precisions = right[band] / (right[band] + wrong[band] + np.spacing(1))
        # The highest precision at this recall or a larger one.
        highest = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
        for threshold, at in enumerate(recalls):
            places = np.searchsorted(at, RECALLS, side="left")
            reached = np.append(highest[threshold], 0.0)
            precision[band, threshold] = reached[places]
    return precision, recall


def _match_category(
    found: Sequence[Detection],
    objects: Sequence[Annotated],
    overlap: Overlap,
    is_open: bool,
) -> CategoryMatches:
    """Matches detections of a category, by descending score, with its objects."""
    crowds = np.array([entry.crowd for entry in objects], bool)
    areas = np.array([entry.area for entry in objects], float)
    outside = np.array([~in_band(areas, band) for band in AREA_BANDS.values()])
    uncounted = (outside | crowds).reshape(len(AREA_BANDS), len(objects))
    masks = [entry.mask for entry in found]
    ious = overlaps(masks, [entry.mask for entry in objects], crowds, kind=overlap)
    taken = match_detections(ious, uncounted, crowds)
    is_matched = taken >= 0
    of_found = mask_areas(masks)
    beyond = np.array([~in_band(of_found, band) for band in AREA_BANDS.values()])
    ignored = ~is_matched & (beyond | is_open)[:, None]
    for band, flags in enumerate(uncounted):
        if len(objects):
            ignored[band] |= is_matched[band] & flags[taken[band]]
    return CategoryMatches(
        scores=np.array([entry.score for entry in found], float),
        matched=is_matched,
        ignored=ignored,
        objects=(~uncounted).sum(axis=1),
    )


def _bits(flags: Bool[np.ndarray, "a t d"]) -> list[list[int]]:
    powers = 1 << np.arange(flags.shape[1])
    return np.einsum("atd,t->ad", flags, powers).tolist()


def _flags(bits: list[list[int]]) -> Bool[np.ndarray, "a t d"]:
    count = len(IOU_THRESHOLDS)
    values = np.array(bits, int).reshape(len(bits), 1, -1)
    return (values >> np.arange(count)[:, None]) & 1 == 1
