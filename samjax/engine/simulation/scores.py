"""Figures of a round: seconds, clicks, masks per image, and the audit of the masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from samjax.engine.simulation.annotating import masks_of
from samjax.evaluation.intervals import bootstrap_means, interval

AUDIT_CUTS = (0.90, 0.75)
"""IoUs of the paper's audit: 94 % of its automatic masks had at least 0.90 with their
correction, 97 % at least 0.75 (SAM, section 5)."""


def round_scores(images: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the figures of a round.

    Seconds, clicks and the brushed fraction are those of masks that were made by hand;
    masks that were taken as proposed are not counted, as in the paper (section 4).
    `seconds_per_mask_of_all` divides all seconds, those of looking at proposals too, by
    all masks. The audit compares all masks with the true ones.

    Args:
        images: What `annotate_round` returned.
    """
    masks = list(masks_of(images))
    by_hand = [mask for _, mask in masks if mask["clicks"] or mask["brushed"]]
    ious = np.array([mask["iou"] for _, mask in masks])
    image_of = np.array([index for index, _ in masks])
    seconds = np.array([mask["seconds"] for mask in by_hand])
    scores: dict[str, Any] = {
        "images": len(images),
        "masks": len(masks),
        "masks_per_image": len(masks) / len(images),
        "objects_per_image": sum(image["objects"] for image in images) / len(images),
        "seconds_per_mask": _mean(seconds),
        "median_seconds_per_mask": float(np.median(seconds)) if len(seconds) else None,
        "clicks_per_mask": _mean([mask["clicks"] for mask in by_hand]),
        "brushed_share": _mean([mask["brushed"] > 0 for mask in by_hand]),
        "first_click_iou": _mean([mask["first_iou"] for mask in by_hand]),
        "proposals_shown": sum(image["shown"] for image in images),
        "proposals_taken": len(masks) - len(by_hand),
        "review_seconds_per_image": _mean([i["review_seconds"] for i in images]),
        # Not the paper's figure: what a mask costs, however it came about.
        "seconds_per_mask_of_all": _seconds_of_all(images, seconds, len(masks)),
    }
    for cut in AUDIT_CUTS:
        name = f"audit_share_over_{round(100 * cut)}"
        above = (ious > cut).astype(float)
        scores[name] = _mean(above)
        if len(above):
            scores[f"{name}_interval"] = interval(bootstrap_means(above, image_of))
    return scores


def _seconds_of_all(
    images: list[dict[str, Any]], seconds: Any, masks: int
) -> float | None:
    review = sum(image["review_seconds"] for image in images)
    return float((seconds.sum() + review) / masks) if masks else None


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None
