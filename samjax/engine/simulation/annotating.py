"""One round of simulated annotation: from the queue to masks in the store."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from samjax.engine.annotations import AnnotationStore, encoded_mask
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.marked_json import read_json, write_json
from samjax.engine.simulation.annotator import AnnotatedMask, annotate
from samjax.engine.simulation.config import SimulationConfig
from samjax.engine.simulation.drawn import (
    DrawnImage,
    scene_index,
    scene_name,
    scene_to_annotate,
)
from samjax.engine.simulation.proposals import propose, review
from samjax.evaluation.segmenter import PredictorSegmenter
from samjax.geometry.masks import encode_rle
from samjax.inference import Predictor

PERSON = "simulated annotator"
_NAMESPACE = uuid.UUID("7a1f6f0e-6c7b-4a53-9a37-5d8f2a6f7c11")


class Clock:
    """Time in the simulation: a fixed start, and the seconds that actions took."""

    def __init__(self, start: datetime):
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += timedelta(seconds=seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoundContext:
    """All that a round of annotation works with.

    Attributes:
        number: Number of the round, from 1.
        stage: 1 assisted-manual, 2 semi-automatic.
        predictor: The model that assists.
        fingerprint: Fingerprint of its weights.
        threshold: Predicted IoU above which masks are proposed; None for no proposals.
        folder: Folder for one file per finished image.
    """

    number: int
    stage: int
    predictor: Predictor
    fingerprint: str
    threshold: float | None
    folder: Path


def annotate_round(
    context: RoundContext,
    store: AnnotationStore,
    tasks: TaskQueue,
    clock: Clock,
    config: SimulationConfig,
    show: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Annotates the images of a round; those that are finished are not annotated again.

    Returns:
        For each image its `name`, `objects`, `shown` (proposals looked at),
        `review_seconds`, and `masks` with the fields of `AnnotatedMask` but the mask.
    """
    first = (context.number - 1) * config.images
    names = [scene_name(first + index) for index in range(config.images)]
    tasks.add(names, round=context.number)
    context.folder.mkdir(parents=True, exist_ok=True)
    # Claimed in the order of the queue, which a restart continues: an image whose file is
    # there is finished, whatever happened between the file and the end of its task.
    while (task := tasks.claim(PERSON)) is not None:
        path = _file_of(context, task.image)
        if not path.exists():
            image = scene_to_annotate(task.image, config.seed, config.scenes)
            made = _annotate_image(context, image, config)
            _store(context, store, image, made["masks"], clock)
            made["masks"] = [_summary(mask) for mask in made["masks"]]
            write_json(path, made)
        tasks.finish(task.id, PERSON)
        show(task.image)
    return [read_json(_file_of(context, name)) for name in names]


def _file_of(context: RoundContext, name: str) -> Path:
    return context.folder / f"{Path(name).stem}.json"


def _annotate_image(
    context: RoundContext, image: DrawnImage, config: SimulationConfig
) -> dict[str, Any]:
    rng = np.random.default_rng([config.seed, scene_index(image.name)])
    embedding = context.predictor.embed(image.pixels)
    taken: list[AnnotatedMask] = []
    shown = 0
    if context.threshold is not None:
        proposals = propose(
            context.predictor,
            embedding,
            threshold=context.threshold,
            points_per_side=config.points_per_side,
        )
        taken, shown = review(proposals, image.targets, rng, config.annotator)
    seconds = shown * config.annotator.times.verify
    have = {mask.target for mask in taken}
    left = [i for i in range(len(image.targets)) if i not in have]
    drawn = annotate(
        PredictorSegmenter(context.predictor),
        embedding,
        [image.targets[i] for i in left],
        rng,
        config.annotator,
        seconds,
    )
    drawn = [dataclasses.replace(mask, target=left[mask.target]) for mask in drawn]
    return {
        "name": image.name,
        "objects": len(image.targets),
        "shown": shown,
        "review_seconds": seconds,
        "masks": [*taken, *drawn],
    }


def _store(
    context: RoundContext,
    store: AnnotationStore,
    image: DrawnImage,
    masks: list[AnnotatedMask],
    clock: Clock,
) -> None:
    for mask in masks:
        clock.advance(mask.seconds)
        rle = encode_rle(mask.mask)
        height, width = mask.mask.shape
        is_proposal = not mask.clicks and not mask.brushed
        # The same name after a restart, so that no mask is stored twice.
        name = f"{context.number} {image.name} {mask.target}"
        store.add(
            image.name,
            str(uuid.uuid5(_NAMESPACE, name)),
            encoded_mask(rle["counts"], (height, width)),
            {
                "label": "",
                "prompts": {"points": mask.points, "labels": mask.labels},
                "score": mask.first_score,
                "stability_score": None,
                "source": "proposal" if is_proposal else "click",
                "edited": bool(mask.brushed),
                "level": None,
                "order": None,
                "seconds": mask.seconds,
                "active_seconds": mask.seconds,
                "author": PERSON,
                "stage": context.stage,
                "round": context.number,
                "model": context.fingerprint,
                "clicks": mask.clicks,
                "strokes": int(bool(mask.brushed)),
            },
        )


def _summary(mask: AnnotatedMask) -> dict[str, Any]:
    fields = {
        field.name: getattr(mask, field.name) for field in dataclasses.fields(mask)
    }
    del fields["mask"]
    return fields


def masks_of(images: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the masks of a round with the index of their image."""
    for index, image in enumerate(images):
        for mask in image["masks"]:
            yield index, mask
