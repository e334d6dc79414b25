"""Masks of an image from suggested prompts, scored, without duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from samjax.engine.proposer.confidence import NUM_FEATURES, Confidence
from samjax.engine.proposer.prompting import PromptSource, Suggested
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import mask_to_counts
from samjax.geometry.overlaps import intersections, mask_nms, pairwise_iou
from samjax.inference import AutomaticConfig, ImageEmbedding, Predictor, Prompt
from samjax.inference.automatic.generate import propose_in_crop
from samjax.inference.automatic.records import Proposal
from samjax.inference.many_prompts import predict_many

DUPLICATE_IOU = 0.7
"""IoU above which one of two masks is dropped, as in the paper's automatic stage."""

_STABILITY_OFFSET = 1.0


class Candidates(NamedTuple):
    """Masks of an image before any is dropped.

    Attributes:
        masks: The masks, three of each prompt.
        shared: Pixels that every two of them share.
        features: Inputs of the confidence, a row for each mask.
    """

    masks: list[Proposal]
    shared: Int[np.ndarray, "k k"]
    features: Float[np.ndarray, "k f"]


class Shown(NamedTuple):
    """A proposed mask.

    Attributes:
        mask: The mask.
        confidence: Probability that it is right.
    """

    mask: Proposal
    confidence: float


def propose(
    predictor: Predictor,
    embedding: ImageEmbedding,
    source: PromptSource,
    confidence: Confidence,
    *,
    count: int,
    threshold: float = 0.0,
    image: UInt8[np.ndarray, "h w 3"] | None = None,
    made: Sequence[Int[np.ndarray, " _"]] = (),
) -> list[Shown]:
    """Returns the confident masks of an image, the most confident first.

    Args:
        predictor: The model.
        embedding: The embedding of the image.
        source: Source of the prompts.
        confidence: The calibrated score.
        count: Most prompts.
        threshold: Confidence below which masks are dropped.
        image: RGB, for sources that read it.
        made: Run lengths of masks that the image has already, of which no duplicate is
            proposed.
    """
    found = candidates(predictor, embedding, source, count=count, image=image)
    return choose(found, confidence, embedding.frame.original_size, threshold, made)


def candidates(
    predictor: Predictor,
    embedding: ImageEmbedding,
    source: PromptSource,
    *,
    count: int,
    image: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Candidates:
    """Decodes suggested prompts.

    Args:
        predictor: The model.
        embedding: The embedding of the image.
        source: Source of the prompts.
        count: Most prompts.
        image: RGB, for sources that read it.
    """
    suggested = source.suggest(image, embedding, count)
    if suggested.points is None:
        masks, scores = _of_boxes(predictor, embedding, suggested)
    else:
        masks, scores = _of_points(predictor, embedding, suggested)
    size = embedding.frame.original_size
    shared = intersections([mask.counts for mask in masks], size)
    return Candidates(masks, shared, _features(masks, scores, shared, size))


def choose(
    found: Candidates,
    confidence: Confidence,
    size: tuple[int, int],
    threshold: float = 0.0,
    made: Sequence[Int[np.ndarray, " _"]] = (),
) -> list[Shown]:
    """Drops masks of low confidence and duplicates.

    Args:
        found: The masks.
        confidence: The calibrated score.
        size: (h, w) of the image.
        threshold: Confidence below which masks are dropped.
        made: Run lengths of masks that the image has already.
    """
    values = confidence.of(found.features)
    enough = np.flatnonzero(values >= threshold)
    if not len(enough):
        return []
    shared = found.shared[np.ix_(enough, enough)]
    kept = enough[mask_nms(shared, values[enough], DUPLICATE_IOU)]
    if len(made):
        own = [found.masks[index].counts for index in kept]
        ious = pairwise_iou(intersections([*own, *made], size))
        kept = kept[ious[: len(own), len(own) :].max(axis=1) <= DUPLICATE_IOU]
    best = kept[np.argsort(-values[kept], kind="stable")]
    return [Shown(found.masks[index], float(values[index])) for index in best]


def _of_points(
    predictor: Predictor, embedding: ImageEmbedding, suggested: Suggested
) -> tuple[list[Proposal], list[float]]:
    points = suggested.points
    assert points is not None
    height, width = embedding.frame.original_size
    config = AutomaticConfig(
        points_per_side=None,
        point_grids=(points / np.array([width, height]),),
        points_per_batch=max(len(points), 1),
        # None is dropped here: the calibrated score decides.
        pred_iou_thresh=-np.inf,
        stability_score_thresh=0.0,
        stability_score_offset=_STABILITY_OFFSET,
    )
    (grid,) = config.grids()
    masks = [
        mask
        for chunk in propose_in_crop(
            predictor, embedding, grid, config, masks_per_point=3
        )
        for mask in chunk
        if mask.area
    ]
    # By its coordinates: that is how a mask names its point.
    by_point = {
        (float(x), float(y)): float(score)
        for (x, y), score in zip(
            grid * np.array([width, height]), suggested.scores, strict=True
        )
    }
    return masks, [by_point[mask.point] for mask in masks]


def _of_boxes(
    predictor: Predictor, embedding: ImageEmbedding, suggested: Suggested
) -> tuple[list[Proposal], list[float]]:
    assert suggested.boxes is not None
    height, width = embedding.frame.original_size
    found, scores = [], []
    prompts = [Prompt(box=box.tolist()) for box in suggested.boxes]
    predicted = predict_many(predictor, embedding, prompts) if prompts else []
    for box, score, masks in zip(
        suggested.boxes, suggested.scores, predicted, strict=True
    ):
        logits = masks.full_logits()
        areas = [(logits > s).sum((1, 2)) for s in (_STABILITY_OFFSET, -1.0)]
        for index, own in enumerate(logits > 0):
            if not own.any():
                continue
            left, top, right, bottom = boxes_from_masks(own[None])[0].tolist()
            found.append(
                Proposal(
                    counts=mask_to_counts(own),
                    box=(left, top, right, bottom),
                    point=((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
                    predicted_iou=float(masks.scores[index]),
                    stability=float(areas[0][index] / areas[1][index]),
                    crop_box=(0, 0, width, height),
                )
            )
            scores.append(float(score))
    return found, scores


def _features(
    masks: Sequence[Proposal],
    scores: Sequence[float],
    shared: Int[np.ndarray, "k k"],
    size: tuple[int, int],
) -> Float[np.ndarray, "k f"]:
    """Returns what is known of each mask: the model's estimates, the score of its prompt,
    its size, and how many masks of other prompts agree with it."""
    if not masks:
        return np.zeros((0, NUM_FEATURES))
    points = np.array([mask.point for mask in masks])
    is_other = (points[:, None] != points[None]).any(axis=2)
    agree = ((pairwise_iou(shared) > DUPLICATE_IOU) & is_other).sum(axis=1)
    area = np.log([mask.area / (size[0] * size[1]) for mask in masks])
    predicted = np.array([mask.predicted_iou for mask in masks])
    stability = np.array([mask.stability for mask in masks])
    prompt = np.clip(np.array(scores), 1e-4, 1 - 1e-4)
    return np.stack(
        [
            predicted,
            stability,
            np.log(prompt / (1 - prompt)),
            area,
            area**2,
            np.log1p(agree),
        ],
        axis=1,
    )
