"""Suppression of duplicate masks, and clean-up of small regions.

Three suppressions, in the order of the released generator: box NMS within each crop,
box NMS between crops, and, beside the release, NMS by the IoU of the masks themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Int, Real

from samjax.geometry.boxes import box_area, boxes_from_masks, nms, nms_threshold
from samjax.geometry.masks import counts_to_mask, mask_to_counts
from samjax.geometry.overlaps import intersections, mask_nms
from samjax.geometry.regions import clean_small_regions
from samjax.inference.automatic.config import AutomaticConfig, Number
from samjax.inference.automatic.records import Proposal


def select_masks(
    by_crop: Sequence[Sequence[Proposal]],
    size: tuple[int, int],
    config: AutomaticConfig,
) -> list[Proposal]:
    """Returns the masks of an image that remain, in the order of the release.

    Args:
        by_crop: masks of every crop.
        size: (h, w) of the image.
        config: thresholds of the suppressions, and of the clean-up between them.

    Raises:
        ImportError: small regions are to be cleaned up, and OpenCV is missing.
    """
    proposals = [
        proposal
        for in_crop in by_crop
        for proposal in _suppress(
            in_crop,
            [proposal.predicted_iou for proposal in in_crop],
            config.box_nms_thresh,
        )
    ]
    if config.crop_n_layers > 0:
        # Masks of smaller crops win: they have more pixels of what is small.
        crops = np.array([proposal.crop_box for proposal in proposals]).reshape(-1, 4)
        scores = (1.0 / box_area(crops)).tolist()
        proposals = _suppress(proposals, scores, config.crop_nms_thresh)
    if config.min_mask_region_area > 0:
        proposals = _clean(proposals, size, config)
    if config.mask_nms_thresh is not None:
        proposals = _suppress_by_masks(proposals, size, config.mask_nms_thresh)
    return proposals


def box_nms(
    boxes: Real[np.ndarray, "n 4"], scores: Real[np.ndarray, " n"], threshold: Number
) -> Int[np.ndarray, " kept"]:
    """Non-maximum suppression of boxes in host memory.

    Args:
        boxes: XYXY, in any frame.
        scores: of the boxes.
        threshold: a box is suppressed by one of a higher score if their IoU is above.

    Returns:
        Indices of the boxes that are kept, by descending score.
    """
    n = len(boxes)
    if not n:
        return np.zeros(0, np.int64)
    # The masks have left the device by now: they leave it as bits, since run lengths
    # have no static length, and how many pass is known only when all chunks and crops
    # are through. Their boxes return for the suppression, which visits them one after
    # the other against all the rest, in float32 as torchvision does: compiled, that is
    # a loop without Python in it. Padding to powers of two keeps the number of lengths
    # that are compiled at a dozen; padding is not valid, so it suppresses nothing.
    padded_length = 1 << (n - 1).bit_length()
    padding = padded_length - n
    order, keep = jax.device_get(
        nms(
            np.pad(boxes.astype(np.float32), ((0, padding), (0, 0))),
            np.pad(scores.astype(np.float32), (0, padding)),
            np.arange(padded_length) < n,
            nms_threshold(float(threshold)),
        )
    )
    return order[keep]


def _suppress(
    proposals: Sequence[Proposal], scores: Sequence[float], threshold: Number
) -> list[Proposal]:
    boxes = np.array([proposal.box for proposal in proposals]).reshape(-1, 4)
    kept = box_nms(boxes, np.array(scores), threshold)
    return [proposals[index] for index in kept]


def _clean(
    proposals: Sequence[Proposal], size: tuple[int, int], config: AutomaticConfig
) -> list[Proposal]:
    """Fills small holes, removes small islands, and suppresses new duplicates."""
    cleaned, is_unchanged = [], []
    for proposal in proposals:
        before = counts_to_mask(proposal.counts, size)
        mask = clean_small_regions(
            before,
            config.min_mask_region_area,
            keep_largest=not config.drop_small_masks,
        )
        if config.drop_small_masks and not mask.any():
            continue
        if mask is not before:
            box = tuple(boxes_from_masks(mask[None])[0].tolist())
            proposal = proposal._replace(counts=mask_to_counts(mask), box=box)
        cleaned.append(proposal)
        is_unchanged.append(float(mask is before))
    # Unchanged masks win over changed ones, as in the release.
    threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
    return _suppress(cleaned, is_unchanged, threshold)


def _suppress_by_masks(
    proposals: Sequence[Proposal], size: tuple[int, int], threshold: Number
) -> list[Proposal]:
    shared = intersections([proposal.counts for proposal in proposals], size)
    scores = np.array([proposal.predicted_iou for proposal in proposals])
    return [proposals[index] for index in mask_nms(shared, scores, threshold)]
