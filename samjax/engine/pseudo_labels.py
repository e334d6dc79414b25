"""Pseudo-labels of a photo: masks of everything mode that recur in views of it.

The fully automatic stage of the data engine (SAM, section 4) in small. The paper keeps
confident (predicted IoU) and stable (stability score) masks, which suffices for a model
trained on millions of human masks. A smaller model gives high scores to many masks that
are no objects, so here a mask must also be predicted in other views of the photo.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from samjax.data.schema import Annotation
from samjax.engine.views import View
from samjax.geometry.overlaps import intersections, pairwise_iou
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import propose
from samjax.inference.automatic.records import Proposal, to_annotation
from samjax.inference.automatic.suppression import select_masks
from samjax.inference.predictor import Predictor

Propose = Callable[
    [Predictor, UInt8[np.ndarray, "h w 3"], AutomaticConfig], list[Proposal]
]
"""Finds masks in an image, as `samjax.inference.automatic.generate.propose`."""

EVERYTHING = AutomaticConfig(
    points_per_side=16,
    pred_iou_thresh=0.4,
    stability_score_thresh=0.2,
    max_mask_area_fraction=0.8,
    mask_nms_thresh=0.8,
)
"""Default options of everything mode for labels: a quarter of the released generator's
points, and thresholds for `small`, whose scores are lower than ViT-H's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLabelConfig:
    """Selection of masks as labels.

    Attributes:
        everything: Options of everything mode in all views; duplicates are suppressed
            after the comparison of views.
        mirror: Whether the mirror image is a view.
        scales: Scales of further views, above 0 and below 1: the photo's longest side
            in the model's frame over the frame's side.
        agreement: Minimum IoU of a label with a mask of another view.
        least_views: Number of other views that must have such a mask; None for all.
        smallest: Minimum area of a label, as a fraction of the photo.
    """

    everything: AutomaticConfig = EVERYTHING
    mirror: bool = True
    scales: tuple[float, ...] = (0.75,)
    agreement: float = 0.8
    least_views: int | None = None
    smallest: float = 0.001

    def __post_init__(self):
        problems = []
        views = int(self.mirror) + len(self.scales)
        if not views:
            problems.append("no view is left to agree: mirror, or give scales")
        if not all(0 < scale < 1 for scale in self.scales):
            problems.append(f"scales={self.scales}: use numbers between 0 and 1")
        if not 0 < self.agreement <= 1:
            problems.append(f"agreement={self.agreement}: use above 0 and up to 1")
        if self.least_views is not None and not 1 <= self.least_views <= views:
            problems.append(
                f"least_views={self.least_views}: use 1 to {views}, the number of views"
            )
        if not 0 <= self.smallest < 1:
            problems.append(f"smallest={self.smallest}: use 0 or more, below 1")
        if problems:
            raise ValueError("PseudoLabelConfig: " + "; ".join(problems))

    @property
    def views(self) -> tuple[View, ...]:
        """The views beside the photo itself."""
        mirrored = (View(mirrored=True),) if self.mirror else ()
        return (*mirrored, *(View(scale=scale) for scale in self.scales))


class InViews(NamedTuple):
    """Masks of a photo and of its views, before suppression of duplicates.

    Attributes:
        size: (h, w) of the photo.
        masks: Masks of the photo itself.
        others: Masks of every other view, in the frame of the photo.
    """

    size: tuple[int, int]
    masks: list[Proposal]
    others: tuple[list[Proposal], ...]


def label_photo(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    config: PseudoLabelConfig | None = None,
    *,
    propose: Propose = propose,
) -> list[Annotation]:
    """Returns the pseudo-labels of a photo.

    Args:
        predictor: The model.
        image: The photo, RGB.
        config: Options.
        propose: Proposes the masks of a view.

    Returns:
        A record per label, as from `generate_masks`, with its agreement.

    Raises:
        ImportError: The removal of small regions needs OpenCV, which is missing.
    """
    config = config or PseudoLabelConfig()
    return choose_labels(find_in_views(predictor, image, config, propose), config)


def find_in_views(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    config: PseudoLabelConfig,
    propose: Propose = propose,
) -> InViews:
    """Runs everything mode on a photo and on its views; arguments as `label_photo`.

    Other views are prompted only with the points that gave a mask in the photo. On three
    photos of COCO this confirmed 98 % of the masks that the whole grid confirms, which has
    two to five times as many points. With crops, views use the whole grids of their
    layers.
    """
    size = (image.shape[0], image.shape[1])
    # Without suppression: a duplicate may be the one that matches another view.
    with_doubles = dataclasses.replace(
        config.everything,
        box_nms_thresh=1.0,
        crop_nms_thresh=1.0,
        mask_nms_thresh=None,
        min_mask_region_area=0,
    )
    masks = propose(predictor, image, with_doubles)
    masks = _large_enough(masks, size, config)
    if not masks:
        return InViews(size, [], tuple([] for _ in config.views))
    points = np.unique([mask.point for mask in masks], axis=0) / [size[1], size[0]]
    others = []
    for view in config.views:
        options = with_doubles
        if not options.crop_n_layers:
            grids = (view.of_points(points),)
            options = dataclasses.replace(
                options, points_per_side=None, point_grids=grids
            )
        proposals = propose(view.predictor(predictor), view.of_image(image), options)
        others.append([view.to_photo(proposal, size) for proposal in proposals])
    return InViews(size, masks, tuple(others))


def choose_labels(in_views: InViews, config: PseudoLabelConfig) -> list[Annotation]:
    """Returns the masks that enough views confirm, without duplicates.

    Args:
        in_views: From `find_in_views`.
        config: Options.

    Returns:
        As `label_photo`.
    """
    size, others = in_views.size, in_views.others
    kept, values = _agreed(in_views.masks, others, size, config)
    compared = {
        mask.counts.tobytes(): value for mask, value in zip(kept, values, strict=True)
    }
    kept = without_doubles(kept, size, config.everything)
    kept = _large_enough(kept, size, config)
    coded = [mask.counts.tobytes() for mask in kept]
    if compared.keys() >= set(coded):
        values = [compared[counts] for counts in coded]
    else:
        # The removal of small regions changed masks: compare them with the views again.
        kept, values = _agreed(kept, others, size, config)
    records = []
    for number, (proposal, value) in enumerate(zip(kept, values, strict=True)):
        record = to_annotation(proposal, number, size, "coco_rle")
        record["agreement"] = value
        records.append(record)
    return records


def agreements(
    masks: Sequence[Int[np.ndarray, " _"]],
    others: Sequence[Sequence[Int[np.ndarray, " _"]]],
    size: tuple[int, int],
    least_views: int | None = None,
) -> Float[np.ndarray, " k"]:
    """Returns the agreement of other views with each mask.

    Args:
        masks: Run lengths of the masks.
        others: Run lengths of the masks of every other view, in the frame of the photo.
        size: (h, w) of the photo.
        least_views: Number of views that count, those with the highest agreement; None
            for all.

    Returns:
        The minimum over these views of the maximum IoU with a mask of the view; 0 where
        a view has none.
    """
    best = np.zeros((len(others), len(masks)))
    for row, of_view in zip(best, others, strict=True):
        if len(masks) and len(of_view):
            shared = intersections([*masks, *of_view], size)
            row[:] = pairwise_iou(shared)[: len(masks), len(masks) :].max(axis=1)
    counted = len(others) if least_views is None else least_views
    return np.sort(best, axis=0)[len(others) - counted]


def without_doubles(
    proposals: Sequence[Proposal], size: tuple[int, int], config: AutomaticConfig
) -> list[Proposal]:
    """Suppresses duplicates and removes small regions, as everything mode does.

    Args:
        proposals: Masks of an image, perhaps of several crops.
        size: (h, w) of the image.
        config: Options of everything mode.
    """
    by_crop: dict[tuple[int, int, int, int], list[Proposal]] = {}
    for proposal in proposals:
        by_crop.setdefault(proposal.crop_box, []).append(proposal)
    return select_masks(list(by_crop.values()), size, config)


def _large_enough(
    proposals: Sequence[Proposal], size: tuple[int, int], config: PseudoLabelConfig
) -> list[Proposal]:
    least = config.smallest * size[0] * size[1]
    return [proposal for proposal in proposals if proposal.area >= least]


def _agreed(
    proposals: Sequence[Proposal],
    others: Sequence[Sequence[Proposal]],
    size: tuple[int, int],
    config: PseudoLabelConfig,
) -> tuple[list[Proposal], list[float]]:
    """Returns the proposals that enough views confirm, and their agreement."""
    values = agreements(
        [proposal.counts for proposal in proposals],
        [[proposal.counts for proposal in of_view] for of_view in others],
        size,
        config.least_views,
    ).tolist()
    pairs = zip(proposals, values, strict=True)
    kept = [(mask, value) for mask, value in pairs if value >= config.agreement]
    return [mask for mask, _ in kept], [value for _, value in kept]
