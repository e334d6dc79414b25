"""`SamAutomaticMaskGenerator` of `segment_anything`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from samjax.compat.model import Sam
from samjax.compat.predictor import SamPredictor
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import counts_to_mask, mask_to_counts
from samjax.geometry.regions import clean_small_regions
from samjax.inference.automatic.config import AutomaticConfig, Number
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.automatic.suppression import box_nms

FIELDS = (
    "segmentation",
    "area",
    "bbox",
    "predicted_iou",
    "point_coords",
    "stability_score",
    "crop_box",
)
"""Fields of a record, in the reference's order."""


class SamAutomaticMaskGenerator:
    """Segments everything in an image.

    Arguments, defaults and records are the reference's, described in
    `samjax.inference.automatic.config.AutomaticConfig`. As in the reference, the options
    are attributes, and an assignment applies from the next image on.

    Attributes:
        predictor: the `SamPredictor` that embeds images. As in the reference it has no
            image after `generate`.
        point_grids: the points of the image and of every layer of crops, (x, y) in the
            unit square.
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
        own = None if point_grids is None else tuple(map(np.asarray, point_grids))
        config = AutomaticConfig(
            points_per_side=points_per_side,
            point_grids=own,
            crop_n_layers=crop_n_layers,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
        )
        self.predictor = SamPredictor(model)
        self.point_grids = list(config.grids())
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        # Made to check the options now, not at the first image.
        self.config  # noqa: B018

    @property
    def config(self) -> AutomaticConfig:
        """The current options."""
        return AutomaticConfig(
            points_per_side=None,
            points_per_batch=self.points_per_batch,
            pred_iou_thresh=self.pred_iou_thresh,
            stability_score_thresh=self.stability_score_thresh,
            stability_score_offset=self.stability_score_offset,
            box_nms_thresh=self.box_nms_thresh,
            crop_n_layers=self.crop_n_layers,
            crop_nms_thresh=self.crop_nms_thresh,
            crop_overlap_ratio=self.crop_overlap_ratio,
            crop_n_points_downscale_factor=self.crop_n_points_downscale_factor,
            point_grids=tuple(np.asarray(grid) for grid in self.point_grids),
            min_mask_region_area=self.min_mask_region_area,
            output_mode=self.output_mode,
        )

    def generate(self, image: ArrayLike) -> list[dict[str, Any]]:
        """Segments everything in an image.

        Args:
            image: uint8 RGB (h, w, 3).

        Returns:
            A dictionary for every mask: `segmentation`, `area`, `bbox` (XYWH),
            `predicted_iou`, `point_coords`, `stability_score`, `crop_box` (XYWH).
        """
        self.predictor.reset_image()
        model = self.predictor.model.predictor
        records = []
        for annotation in generate_masks(model, np.asarray(image), self.config):
            record: dict[str, Any] = {name: annotation[name] for name in FIELDS}
            for box in ("bbox", "crop_box"):
                record[box] = [int(side) for side in record[box]]
            records.append(record)
        return records

    @staticmethod
    def postprocess_small_regions(
        mask_data: Any, min_area: int, nms_thresh: float
    ) -> Any:
        """Fills small holes, removes small islands, and suppresses new duplicates.

        Args:
            mask_data: a dictionary, or the reference's `MaskData`, changed in place:
                `rles`, a list of dictionaries of `size` and `counts`; `boxes` (n, 4);
                and lists or arrays of any other values per mask.
            min_area: holes and islands of fewer pixels are filled and removed.
            nms_thresh: IoU threshold of box NMS, which keeps unchanged masks first.

        Returns:
            `mask_data`.
        """
        if len(mask_data["rles"]) == 0:
            return mask_data
        sizes = [tuple(rle["size"]) for rle in mask_data["rles"]]
        before = [
            counts_to_mask(np.asarray(rle["counts"]), size)
            for rle, size in zip(mask_data["rles"], sizes, strict=True)
        ]
        after = [clean_small_regions(mask, min_area) for mask in before]
        is_same = np.array([a is b for a, b in zip(after, before, strict=True)])
        boxes = boxes_from_masks(np.stack(after))
        kept = box_nms(boxes, is_same.astype(np.float32), nms_thresh)
        for index in kept:
            if not is_same[index]:
                counts = mask_to_counts(after[index]).tolist()
                mask_data["rles"][index] = {
                    "size": list(sizes[index]),
                    "counts": counts,
                }
                mask_data["boxes"][index] = boxes[index]
        for name, values in list(mask_data.items()):
            is_list = isinstance(values, list)
            mask_data[name] = [values[i] for i in kept] if is_list else values[kept]
        return mask_data
