"""Measures the quality of pseudo-labels on photos with masks that training never uses.

    python tools/pseudo_label_quality.py --data sets/coco --model small

The table has a line for everything mode's masks without regard to other views, and one
for the labels at each value of `agreement`: the number of masks, the fraction with an
IoU of at least 0.5 (and 0.75) with some object of the photo, and the mean of the best
IoU, with 95 % intervals over photos. A mask that matches no object may be of an object
that was not annotated, or of a part of one, so that the fractions are below the labels'
precision; they are for comparison between lines. `found` is the recall: the fraction of
objects that some mask matches at 0.5. Masks with more than half of their area in
ignored regions are left out.
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from PIL import Image

import samjax
from samjax.cli.compilation import keep_compiled_programs
from samjax.cli.everything_outputs import draw_everything
from samjax.data.schema import Annotation
from samjax.engine.pseudo_labels import (
    EVERYTHING,
    InViews,
    PseudoLabelConfig,
    agreements,
    choose_labels,
    find_in_views,
    without_doubles,
)
from samjax.evaluation.datasets.photo_sets import Photo, read_photo_set
from samjax.evaluation.intervals import bootstrap_means, interval
from samjax.files import replacing
from samjax.geometry.masks import counts_to_mask, run_lengths


@dataclass(frozen=True, kw_only=True)
class Config:
    """The photos, the model and the options to compare."""

    data: Path
    """A dataset of photos with masks, as for `samjax evaluate`."""

    model: str = "small"
    """A name, file or folder, as for `samjax.load`."""

    photos: int | None = None
    """Largest number of photos; all by default."""

    agreement: tuple[float, ...] = (0.7, 0.8, 0.9)
    """Values to compare."""

    points_per_side: int = 16
    """As in `samjax data label`, like the next two."""

    pred_iou_thresh: float = float(EVERYTHING.pred_iou_thresh)
    """A mask's predicted IoU must be above this."""

    stability_score_thresh: float = float(EVERYTHING.stability_score_thresh)
    """A mask's stability score must be at least this."""

    pictures: Path | None = None
    """Folder for a picture of the labels of each photo at the first value."""


class Scored(NamedTuple):
    """The masks of one photo at one setting.

    Attributes:
        best_of_mask: For every mask, the best IoU with an object.
        best_of_object: For every object, the best IoU with a mask.
    """

    best_of_mask: np.ndarray
    best_of_object: np.ndarray


def main(config: Config) -> None:
    """Measures all settings and prints a table."""
    keep_compiled_programs()
    predictor = samjax.Predictor(*samjax.load(config.model))
    labelling = PseudoLabelConfig(
        everything=dataclasses.replace(
            EVERYTHING,
            points_per_side=config.points_per_side,
            pred_iou_thresh=config.pred_iou_thresh,
            stability_score_thresh=config.stability_score_thresh,
        )
    )
    photos = read_photo_set(config.data).photos[: config.photos]
    rows: dict[str, list[Scored]] = {}
    seconds, cpu = [], []
    for count, photo in enumerate(photos, start=1):
        image = photo.read()
        start, start_cpu = time.perf_counter(), time.process_time()
        in_views = find_in_views(predictor, image, labelling)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
        for name, masks in settings(in_views, labelling, config.agreement).items():
            rows.setdefault(name, []).append(score(photo, masks))
        if config.pictures is not None:
            first = dataclasses.replace(labelling, agreement=config.agreement[0])
            draw(config.pictures, photo, image, choose_labels(in_views, first))
        print(f"{count} of {len(photos)}: {seconds[-1]:.1f} s", flush=True)
    print(
        f"{len(photos)} photos, median {np.median(seconds):.1f} s each, "
        f"{np.median(cpu):.1f} s of CPU time"
    )
    print(
        "setting          masks  a photo  IoU>=0.5              IoU>=0.75  mean  found"
    )
    for name, scored in rows.items():
        print(summary(name, scored))


def settings(
    in_views: InViews, config: PseudoLabelConfig, values: Sequence[float]
) -> dict[str, list[np.ndarray]]:
    """Returns the masks of every setting, as RLE counts."""
    every = without_doubles(in_views.masks, in_views.size, config.everything)
    masks = {"everything": [proposal.counts for proposal in every]}
    for value in values:
        labels = choose_labels(in_views, dataclasses.replace(config, agreement=value))
        masks[f"agreement {value}"] = [
            run_lengths(label["segmentation"]) for label in labels
        ]
    return masks


def score(photo: Photo, masks: Sequence[np.ndarray]) -> Scored:
    """Compares masks with the objects of a photo."""
    ignored = photo.ignored_pixels()
    if ignored is not None:
        masks = [
            counts
            for counts in masks
            if counts_to_mask(counts, photo.size)[ignored].sum()
            <= counts[1::2].sum() / 2
        ]
    objects = [photo_object.counts for photo_object in photo.objects]
    return Scored(
        agreements(masks, [objects], photo.size),
        agreements(objects, [masks], photo.size),
    )


def summary(name: str, scored: Sequence[Scored]) -> str:
    """Returns a line of the table."""
    best = np.concatenate([s.best_of_mask for s in scored])
    best_of_object = np.concatenate([s.best_of_object for s in scored])
    line = f"{name:<15}  {len(best):5d}  {len(best) / len(scored):7.1f}"
    if not len(best):
        return line
    owners = np.repeat(np.arange(len(scored)), [len(s.best_of_mask) for s in scored])
    low, high = interval(bootstrap_means((best >= 0.5).astype(float), owners))
    return (
        f"{line}  {np.mean(best >= 0.5):.3f} ({low:.3f} to {high:.3f})  "
        f"{np.mean(best >= 0.75):9.3f}  {best.mean():.2f}  "
        f"{np.mean(best_of_object >= 0.5):.3f}"
    )


def draw(
    folder: Path, photo: Photo, image: np.ndarray, labels: Sequence[Annotation]
) -> None:
    """Writes a picture of the labels of a photo."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = draw_everything(image, {"annotations": labels})
    with replacing(folder / f"{Path(photo.name).stem}.png") as hidden:
        Image.fromarray(drawn).save(hidden, format="PNG")


if __name__ == "__main__":
    main(tyro.cli(Config))
