"""Masks from clicks and from a box, on the examples of a dataset: a user's held-out part.

The protocol is that of `prompting`. Images and masks are looked at in their original
size; what is damaged is passed over and counted.
"""

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from rich.progress import track

from samjax.data.examples import ExampleSource, RawExample, open_image_file
from samjax.data.problems import summary
from samjax.evaluation.metrics.mask_iou import mean_iou
from samjax.evaluation.policies.interactive_clicks import evaluate_image
from samjax.evaluation.report import Report
from samjax.evaluation.segmenter import PredictorSegmenter
from samjax.geometry.masks import decode_rle
from samjax.inference.predictor import Predictor


def evaluate_examples(
    predictor: Predictor,
    source: ExampleSource,
    *,
    images: int | None = None,
    objects_per_image: int = 16,
    clicks: Sequence[int] = (1, 3),
    seed: int = 0,
    show_progress: bool = True,
) -> Report:
    """Evaluates clicks and boxes on examples.

    Args:
        predictor: The model.
        source: The examples.
        images: Most examples to look at, spread evenly over the source; None for all.
        objects_per_image: Most objects of an image; of more, some are drawn.
        clicks: Numbers of clicks to score at.
        seed: Of that draw.
        show_progress: Whether to draw a progress bar.

    Returns:
        The scores `click_n`, `click_n_oracle`, `box`, `box_oracle` and `box_single`,
        means over objects, and for every object its IoUs by those names.

    Raises:
        ValueError: A number is below 1, or there is no object at all.
    """
    if not clicks or min(clicks) < 1 or objects_per_image < 1 or images == 0:
        raise ValueError(
            f"got {clicks=}, {objects_per_image=}, {images=}, expected numbers of at "
            "least 1"
        )
    count = len(source) if images is None else min(images, len(source))
    chosen = np.linspace(0, len(source) - 1, count).round().astype(int)
    segmenter = PredictorSegmenter(predictor)
    objects: list[dict[str, Any]] = []
    damaged: list[str] = []
    for index in track(
        chosen.tolist(), "evaluating", disable=not show_progress, transient=True
    ):
        raw = source[index]
        try:
            image, targets = read_example(raw)
        except (ValueError, KeyError, TypeError) as error:
            damaged.append(_words(raw, error))
            continue
        if len(targets) > objects_per_image:
            rng = np.random.default_rng([seed, index])
            some = rng.choice(len(targets), objects_per_image, replace=False)
            targets = targets[np.sort(some)]
        if len(targets):
            ious = evaluate_image(segmenter, image, targets, clicks)
            for target, of_object in zip(targets, ious, strict=True):
                about = {"example": raw.name, "area": int(target.sum())}
                objects.append(about | {"iou": of_object})
    _tell_damaged(damaged, len(chosen), is_all=not objects)
    return Report(
        suite=f"{len(chosen)} examples",
        protocol={
            "images": len(chosen),
            "damaged": len(damaged),
            "objects_per_image": objects_per_image,
            "clicks": list(clicks),
            "click": "centre of the largest error; the last mask is fed back",
            "seed": seed,
        },
        scores={
            name: mean_iou([one["iou"][name] for one in objects])
            for name in objects[0]["iou"]
        },
        objects=tuple(objects),
    )


def _tell_damaged(damaged: list[str], count: int, *, is_all: bool) -> None:
    """Warns of damaged examples; raises where nothing is left to evaluate on."""
    words = f"{': ' if damaged else ''}{summary(damaged)}"
    if is_all:
        raise ValueError(
            f"got {count} examples, of which {len(damaged)} are damaged, without any "
            f"mask, expected some to evaluate on{words}"
        )
    if damaged:
        warnings.warn(
            f"{len(damaged)} of {count} examples are damaged and not evaluated{words}",
            stacklevel=3,
        )


def _words(raw: RawExample, error: Exception) -> str:
    """What is wrong with an example, with its name."""
    words = str(error) if isinstance(error, ValueError) else f"its record: {error!r}"
    return words if raw.name in words else f"{raw.name}: {words}"


def read_example(
    raw: RawExample,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "k h w"]]:
    """Decodes an example: its image at the size of its masks, and those that have pixels.

    Raises:
        ValueError: A part is missing or damaged.
        KeyError: The record has no such field.
        TypeError: A field is of another kind.
    """
    if raw.image is None or raw.record is None:
        raise ValueError(
            raw.problem or f"{raw.name}: the image or the record is missing"
        )
    record: Any = raw.record
    if isinstance(record, bytes):
        record = json.loads(record)
    size = (record["image"]["height"], record["image"]["width"])
    image = open_image_file(raw.image, record["image"]).read(size)
    masks = [decode_rle(one["segmentation"]) for one in record["annotations"]]
    masks = [mask for mask in masks if mask.any()]
    if any(mask.shape != size for mask in masks):
        raise ValueError(f"{raw.name}: a mask is of another size than {size}")
    return image, np.array(masks, bool).reshape(len(masks), *size)
