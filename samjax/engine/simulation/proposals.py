"""Stage 2 in simulation: confident masks that the annotator takes or rejects.

SAM, section 4: in the semi-automatic stage images come with confident masks, and people
annotate what is missing. The paper's masks are prompted by a box detector; here they are
those of everything mode above a threshold of predicted IoU (`engine.calibration`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from samjax.engine.simulation.annotator import AnnotatedMask, AnnotatorConfig
from samjax.geometry.masks import decode_rle, mask_iou
from samjax.inference import AutomaticConfig, ImageEmbedding, Predictor, generate_masks


def propose(
    predictor: Predictor,
    embedding: ImageEmbedding,
    *,
    threshold: float,
    points_per_side: int,
) -> list[Bool[np.ndarray, "h w"]]:
    """Returns the masks of everything mode with a predicted IoU above a threshold."""
    config = AutomaticConfig(
        points_per_side=points_per_side,
        pred_iou_thresh=threshold,
        # The threshold is calibrated to a precision; a second one would be a guess.
        stability_score_thresh=0.0,
        mask_nms_thresh=0.7,
    )
    masks = generate_masks(predictor, embedding, config)
    return [decode_rle(mask["segmentation"]) for mask in masks]


def review(
    proposals: Sequence[Bool[np.ndarray, "h w"]],
    targets: Sequence[Bool[np.ndarray, "h w"]],
    rng: np.random.Generator,
    config: AnnotatorConfig,
) -> tuple[list[AnnotatedMask], int]:
    """Takes or rejects proposed masks, one by one.

    A proposal is taken if it looks like an object that has no mask yet.

    Args:
        proposals: The masks.
        targets: The objects.
        rng: Source of the annotator's imprecision.
        config: Habits.

    Returns:
        The masks that were taken, without clicks and seconds, and the number of
        proposals that were looked at.
    """
    taken: list[AnnotatedMask] = []
    if not proposals or not targets:
        return taken, len(proposals)
    ious = mask_iou(np.stack(proposals), np.stack(targets))
    for proposal, row in zip(proposals, ious, strict=True):
        row = row.copy()
        row[[mask.target for mask in taken]] = 0.0
        target = int(np.argmax(row))
        if row[target] + rng.normal(0.0, config.judgement) >= config.goal:
            taken.append(
                AnnotatedMask(target=target, mask=proposal, iou=float(row[target]))
            )
    return taken, len(proposals)
