"""Proposals in the store: masks of stage 2 that people take, reject or change."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from samjax.engine.annotations import AnnotationStore, encoded_mask
from samjax.engine.annotations.errors import RevisionConflict, UuidTaken
from samjax.engine.annotations.rows import Stored
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.project_folder import ProjectFolder
from samjax.engine.proposer.annotated import AnnotatedImage, EmbeddingFolder, Pair
from samjax.engine.proposer.fitted import Proposer
from samjax.engine.proposer.prompting import PromptSource
from samjax.engine.proposer.proposing import Shown, propose
from samjax.engine.sources import PROPOSED, REJECTED, is_by_people
from samjax.geometry.masks import counts_to_text, decode_rle, text_to_counts
from samjax.inference import Predictor, read_image


class Proposed(NamedTuple):
    """Proposals of an image that were stored.

    Attributes:
        image: Name of the image.
        count: Their number.
        problem: Why the image could not be read; None if it could.
    """

    image: str
    count: int
    problem: str | None = None


_NAMESPACE = uuid.UUID("4f0f5d0e-8f0b-4c6e-9c53-2f7f7c1f5c21")


def open_images(project: ProjectFolder, store: AnnotationStore) -> list[str]:
    """Returns the images that are still to annotate.

    Those of open tasks, in the order of the queue; without a queue all images on which
    no person made a mask.

    Args:
        project: The project.
        store: Its store.
    """
    tasks = TaskQueue(store.database)
    if any(kind == "annotate" for kind, _ in tasks.counts()):
        return tasks.upcoming(1 << 30)
    _, rows = store.snapshot()
    annotated = {row["image"] for row in rows if is_by_people(row)}
    return [name for name in project.names() if name not in annotated]


def annotated_images(project: ProjectFolder) -> list[AnnotatedImage]:
    """Returns the images with masks of people, as the proposer learns from them.

    Args:
        project: The project.
    """
    store = project.open_store()
    try:
        _, rows = store.snapshot()
    finally:
        store.close()
    masks: dict[str, list[Stored]] = {}
    for row in rows:
        if is_by_people(row):
            masks.setdefault(row["image"], []).append(row)

    def reader(name: str) -> Callable[[], Pair | None]:
        def read() -> Pair | None:
            try:
                pixels = read_image(project.read(name))
            except (OSError, ValueError):
                # Removed or damaged since it was annotated.
                return None
            own = [decode_rle(row["segmentation"]) for row in masks[name]]
            return Pair(pixels, [m for m in own if m.shape == pixels.shape[:2]])

        return read

    return [AnnotatedImage(name=name, read=reader(name)) for name in masks]


def propose_into_store(
    project: ProjectFolder,
    store: AnnotationStore,
    images: Sequence[str],
    predictor: Predictor,
    proposer: Proposer,
    embeddings: EmbeddingFolder,
    *,
    round: int,
    source: PromptSource | None = None,
) -> Iterator[Proposed]:
    """Stores the confident masks of images, as masks of stage 2 that nobody touched.

    Duplicates of masks that people made, or of proposals that they rejected, are left
    out. Proposals of another model that nobody touched are removed. Done twice, it
    changes nothing, and a proposal that a person deleted does not return.

    Args:
        project: The project.
        store: Its store.
        images: Names of images.
        predictor: The model.
        proposer: The proposer, calibrated for the model.
        embeddings: Where embeddings are kept.
        round: Round of the data engine.
        source: Source of prompts in place of the proposer's head.

    Yields:
        Each image with the number of its proposals.

    Raises:
        ValueError: The proposer belongs to another model.
        OSError: An embedding cannot be written.
    """
    proposer.check(predictor)
    prompts = proposer.source if source is None else source
    for name in images:
        if proposer.threshold is None:
            yield Proposed(name, 0)
            continue
        try:
            pixels = read_image(project.read(name))
        except (OSError, ValueError) as error:
            yield Proposed(name, 0, str(error))
            continue
        embedding = embeddings.embed(pixels)
        _, rows, _ = store.changes(name)
        made = [
            text_to_counts(row["segmentation"]["counts"])
            for row in (*rows, *store.rejected(name))
            if is_by_people(row) or row["source"] == REJECTED
        ]
        shown = propose(
            predictor,
            embedding,
            prompts,
            proposer.confidence,
            count=proposer.points,
            threshold=proposer.threshold,
            image=pixels,
            made=made,
        )
        _remove_old(store, rows, proposer.model)
        size = (pixels.shape[0], pixels.shape[1])
        for mask in shown:
            _store(store, name, mask, size, proposer.model, round)
        yield Proposed(name, len(shown))


def _remove_old(store: AnnotationStore, rows: Sequence[Stored], model: str) -> None:
    for row in rows:
        if row["source"] != PROPOSED or is_by_people(row) or row["model"] == model:
            continue
        try:
            store.withdraw(row["id"], row["revision"])
        except RevisionConflict:
            # A person has changed or removed it meanwhile: it is theirs.
            continue


def _store(
    store: AnnotationStore,
    name: str,
    shown: Shown,
    size: tuple[int, int],
    model: str,
    round: int,
) -> None:
    mask = shown.mask
    text = counts_to_text(mask.counts)
    fields: dict[str, Any] = {
        "label": "",
        "prompts": {"points": [list(mask.point)], "labels": [1]},
        "score": mask.predicted_iou,
        "stability_score": mask.stability,
        "source": PROPOSED,
        "edited": False,
        "level": None,
        "order": None,
        "seconds": 0.0,
        "author": "",
        "stage": 2,
        "round": round,
        "model": model,
    }
    # The same name for the same mask, so that a repeated run stores it once.
    own = uuid.uuid5(_NAMESPACE, f"{name}\n{model}\n{text}")
    try:
        store.add(name, str(own), encoded_mask(text, size), fields)
    except UuidTaken:
        # A person deleted it: it does not return.
        return
