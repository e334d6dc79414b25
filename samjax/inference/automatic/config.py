"""Options of automatic mask generation, and named presets."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from samjax.geometry.grids import point_grids
from samjax.models import VIT_B, VIT_H, VIT_L, SamArchitecture
from samjax.models.config import Architecture

OUTPUT_MODES = ("coco_rle", "uncompressed_rle", "binary_mask")

# Whole numbers too, since people write 0 and 1.
Number = float | int

# The defaults of `AutomaticConfig` suit encoders of these sizes, as they were released.
_RELEASED_ENCODERS = {(size.embed_dim, size.depth) for size in (VIT_B, VIT_L, VIT_H)}
# Of smaller models, such as the bundled ones. Their masks have lower IoUs, and so have
# their estimates. Their logits are smaller too, so that moving the mask threshold by
# one, as the stability score does, changes more of a mask.
SMALL_MODEL_THRESHOLDS = {"pred_iou_thresh": 0.4, "stability_score_thresh": 0.5}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutomaticConfig:
    """Options of automatic mask generation.

    Names, meanings and defaults are those of the released `SamAutomaticMaskGenerator`;
    the last three options are the paper's and not the release's. A threshold of 0 turns
    its filter off. The defaults suit the released models; `for_model` returns the
    thresholds of others.

    Attributes:
        points_per_side: points along a side of the grid; None if `point_grids` is given.
        points_per_batch: points that the decoder processes together, at most all of a
            grid. Memory grows with it, results do not depend on it.
        pred_iou_thresh: lower bound of a mask's predicted IoU, exclusive.
        stability_score_thresh: lower bound of a mask's stability score, inclusive.
        stability_score_offset: shift of the mask threshold, up and down, for the
            stability score.
        box_nms_thresh: IoU threshold of box NMS within a crop, which keeps the higher
            predicted IoU.
        crop_n_layers: layers of crops; layer i has 4^i.
        crop_nms_thresh: IoU threshold of box NMS between crops, which keeps the mask of
            the smaller crop.
        crop_overlap_ratio: overlap of crops over the image's short side, in layer 1.
        crop_n_points_downscale_factor: points per side of layer i are divided by this
            to the power of i.
        point_grids: points for the image and each layer of crops, (x, y) in the unit
            square, in place of regular grids.
        min_mask_region_area: holes and islands smaller than this many pixels are
            filled and removed. Needs OpenCV: the extra `eval` or `train`.
        output_mode: form of `segmentation`: `"coco_rle"`, run lengths as text, as in
            SA-1B; `"uncompressed_rle"`, as numbers; `"binary_mask"`, bool (h, w).
        max_mask_area_fraction: upper bound of a mask's share of the image, exclusive;
            the paper's 0.95 drops masks of the whole image.
        mask_nms_thresh: IoU threshold of NMS by the masks themselves, which keeps the
            higher predicted IoU; None turns it off.
        drop_small_masks: whether a mask whose largest island is smaller than
            `min_mask_region_area` is dropped, as in the paper, or reduced to that
            island, as in the release.
    """

    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: Number = 0.88
    stability_score_thresh: Number = 0.95
    stability_score_offset: Number = 1.0
    box_nms_thresh: Number = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: Number = 0.7
    crop_overlap_ratio: Number = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: tuple[Float[np.ndarray, "_ 2"], ...] | None = None
    min_mask_region_area: int = 0
    output_mode: str = "coco_rle"
    max_mask_area_fraction: Number | None = None
    mask_nms_thresh: Number | None = None
    drop_small_masks: bool = False

    def __post_init__(self):
        problems = []
        if (self.points_per_side is None) == (self.point_grids is None):
            problems.append("give exactly one of points_per_side and point_grids")
        for name in ("points_per_batch", "crop_n_points_downscale_factor"):
            if getattr(self, name) < 1:
                problems.append(f"{name}={getattr(self, name)}: use at least 1")
        for name in ("crop_n_layers", "min_mask_region_area", "crop_overlap_ratio"):
            if getattr(self, name) < 0:
                problems.append(f"{name}={getattr(self, name)}: use 0 or more")
        if self.output_mode not in OUTPUT_MODES:
            problems.append(
                f"output_mode={self.output_mode!r}: use one of {OUTPUT_MODES}"
            )
        if self.point_grids is not None and len(self.point_grids) <= self.crop_n_layers:
            problems.append(
                f"{len(self.point_grids)} point_grids for crop_n_layers="
                f"{self.crop_n_layers}: give one for the image and one for each layer"
            )
        if problems:
            raise ValueError("AutomaticConfig: " + "; ".join(problems))

    def for_model(self, sizes: Architecture) -> AutomaticConfig:
        """Returns these options with the two thresholds that suit a model.

        Args:
            sizes: the model's config. Encoders of the released sizes keep these
                thresholds; all others get `SMALL_MODEL_THRESHOLDS`.
        """
        is_sam = isinstance(sizes, SamArchitecture)
        if is_sam and (sizes.embed_dim, sizes.depth) in _RELEASED_ENCODERS:
            return self
        return dataclasses.replace(self, **SMALL_MODEL_THRESHOLDS)

    def batch_size(self, points: int) -> int:
        """Returns the number of points of a grid that are decoded together."""
        return max(1, min(self.points_per_batch, points))

    def grids(self) -> tuple[Float[np.ndarray, "_ 2"], ...]:
        """Returns the points of the image and of each crop layer, in the unit square."""
        if self.points_per_side is None:
            return self.point_grids or ()
        return point_grids(
            self.points_per_side,
            self.crop_n_layers,
            self.crop_n_points_downscale_factor,
        )


PRESETS = {
    "reference": AutomaticConfig(),
    "paper": AutomaticConfig(
        crop_n_layers=2,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
        max_mask_area_fraction=0.95,
        drop_small_masks=True,
    ),
    "fast": AutomaticConfig(points_per_side=16),
    "dense": AutomaticConfig(
        points_per_side=64, crop_n_layers=1, crop_n_points_downscale_factor=2
    ),
}
"""`reference`, the release's defaults; `paper`, the options that made SA-1B; `fast`, a
quarter of the points; `dense`, for many small objects."""
