"""Masks of everything mode on the host, and the records made of them.

Records have the fields of SA-1B, as those of `segment_anything`'s generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import Annotation
from samjax.geometry.masks import counts_to_mask

Box = tuple[int, int, int, int]
"""Left, top, right, bottom; the last two are inclusive for masks, exclusive for crops."""


class Proposal(NamedTuple):
    """A mask that passed the filters of its crop, before suppression.

    Attributes:
        counts: run lengths in the image, column by column, zeros first.
        box: inclusive XYXY in the image.
        point: (x, y) in the image of the point prompt.
        predicted_iou: the model's estimate of the mask's IoU.
        stability: its stability score.
        crop_box: XYXY of the crop in which it was predicted, right and bottom exclusive.
    """

    counts: Int[np.ndarray, " r"]
    box: Box
    point: tuple[float, float]
    predicted_iou: float
    stability: float
    crop_box: Box

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.counts[1::2].sum())


def to_annotation(
    proposal: Proposal,
    mask_id: int,
    size: tuple[int, int],
    output_mode: str,
    points: Sequence[tuple[float, float]] | None = None,
) -> Annotation:
    """Returns the record of a mask.

    Args:
        proposal: the mask.
        mask_id: the record's id.
        size: (h, w) of the image.
        output_mode: form of the segmentation, one of `config.OUTPUT_MODES`.
        points: point prompts of the mask in pixels of the image; by default the
            proposal's one.
    """
    return make_annotation(
        proposal.counts,
        size,
        mask_id,
        # The proposal's own box: that of an empty mask is the corner of its crop, as
        # in the released generator, which run lengths do not have.
        box=proposal.box,
        segmentation=_segmentation(proposal.counts, size, output_mode),
        predicted_iou=proposal.predicted_iou,
        points=[proposal.point] if points is None else points,
        crop_box=proposal.crop_box,
        stability_score=proposal.stability,
    )


def to_annotations(
    proposals: Sequence[Proposal], size: tuple[int, int], output_mode: str
) -> list[Annotation]:
    """Returns the records of the masks of an image, with ids from 0 in their order."""
    return [
        to_annotation(proposal, mask_id, size, output_mode)
        for mask_id, proposal in enumerate(proposals)
    ]


def _segmentation(counts: np.ndarray, size: tuple[int, int], output_mode: str) -> Any:
    if output_mode == "binary_mask":
        return counts_to_mask(counts, size)
    if output_mode == "uncompressed_rle":
        return {"size": list(size), "counts": counts.tolist()}
    return None
