"""`SamAutomaticMaskGenerator` of `segment_anything`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from samjax.compat.model import Sam
from samjax.inference.automatic import generate_masks
from samjax.inference.automatic_config import AutomaticConfig, Number

FIELDS = (
    "segmentation",
    "area",
    "bbox",
    "predicted_iou",
    "point_coords",
    "stability_score",
    "crop_box",
)
"""Of a record, in the reference's order."""


class SamAutomaticMaskGenerator:
    """Segments everything in an image.

    Arguments, defaults and records are the reference's; what they mean is told by
    `samjax.inference.automatic_config.AutomaticConfig`.

    Attributes:
        config: the options.
    """

    def __init__(
        self,
        model: Sam,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: Number = 0.88,
        stability_score_thresh: Number = 0.95,
        stability_score_offset: Number = 1.0,
        box_nms_thresh: Number = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: Number = 0.7,
        crop_overlap_ratio: Number = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ):
        self._predictor = model.predictor
        self.config = AutomaticConfig(
            points_per_side=points_per_side,
            points_per_batch=points_per_batch,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            point_grids=None
            if point_grids is None
            else tuple(np.asarray(grid) for grid in point_grids),
            min_mask_region_area=min_mask_region_area,
            output_mode=output_mode,
        )

    def generate(self, image: ArrayLike) -> list[dict[str, Any]]:
        """Segments everything in an image.

        Args:
            image: uint8 RGB (h, w, 3).

        Returns:
            A dictionary for every mask: `segmentation`, `area`, `bbox` (XYWH),
            `predicted_iou`, `point_coords`, `stability_score`, `crop_box` (XYWH).
        """
        records = []
        for annotation in generate_masks(
            self._predictor, np.asarray(image), self.config
        ):
            record: dict[str, Any] = {name: annotation[name] for name in FIELDS}
            for box in ("bbox", "crop_box"):
                record[box] = [int(side) for side in record[box]]
            records.append(record)
        return records
