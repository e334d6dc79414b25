"""Predicted masks in the forms of a clicker: for its front end, and as annotations."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import Annotation
from samjax.geometry.masks import encode_rle, mask_to_counts
from samjax.inference import Masks
from samjax.notebook.session import ObjectState

# Longest side of the picture that is sent: screens show no more of it.
LONGEST_SHOWN = 2048

STABILITY_OFFSET = 1.0


def best_index(masks: Masks) -> int:
    """Returns the index of the mask of the highest score; of equal ones the first."""
    return int(np.argmax(masks.scores))


def chosen_index(state: ObjectState, masks: Masks) -> int:
    """Returns the index of the mask that is meant.

    Raises:
        ValueError: The prompt has fewer masks.
    """
    if state.choice is None:
        return best_index(masks)
    if state.choice >= len(masks):
        raise ValueError(
            f"got mask {state.choice} of a prompt with {len(masks)}, expected an index "
            f"below {len(masks)}"
        )
    return state.choice


def candidates(masks: Masks) -> list[dict[str, Any]]:
    """Returns the masks of a prompt in the form of JSON, in their order.

    Returns:
        For each its `segmentation` (COCO's compressed run lengths, at the original
        size), its `score` (predicted IoU) and its `area` in pixels.
    """
    return [
        {
            "segmentation": encode_rle(mask),
            "score": float(score),
            "area": int(mask.sum()),
        }
        for mask, score in zip(masks.masks, masks.scores, strict=True)
    ]


def annotation_of(state: ObjectState, masks: Masks, mask_id: int) -> Annotation:
    """Returns an accepted object as an annotation in SA-1B's fields.

    `point_coords` has the foreground points alone, as those of `samjax serve` do.

    Raises:
        ValueError: The chosen mask does not exist.
    """
    index = chosen_index(state, masks)
    chosen = masks.select(slice(index, index + 1))
    height, width = masks.frame.original_size
    labelled = zip(state.points, state.labels, strict=True)
    return make_annotation(
        mask_to_counts(chosen.masks[0]),
        (height, width),
        mask_id,
        predicted_iou=float(chosen.scores[0]),
        points=[point for point, label in labelled if label == 1],
        stability_score=stability_score(chosen.full_logits()[0]),
    )


def stability_score(logits: Float[np.ndarray, "h w"]) -> float:
    """Returns the IoU of the masks at thresholds of +1 and -1; 0 if both are empty."""
    lower = int((logits > -STABILITY_OFFSET).sum())
    return int((logits > STABILITY_OFFSET).sum()) / lower if lower else 0.0


def encode_picture(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Returns an image as JPEG, to be shown: its longest side at most `LONGEST_SHOWN`."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((LONGEST_SHOWN, LONGEST_SHOWN))
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=90, subsampling=0)
    return content.getvalue()
