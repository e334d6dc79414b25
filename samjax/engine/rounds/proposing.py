"""Proposals in the store: masks of stage 2 that people take, reject or change."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from samjax.engine.annotations import AnnotationStore, EncodedMask, encoded_mask
from samjax.engine.annotations.errors import RevisionConflict, UuidTaken
from samjax.engine.annotations.proposed_layers import (
    count_gold_tasks,
    layers_for_proposals,
)
from samjax.engine.annotations.rows import Stored
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.project_folder import ProjectFolder
from samjax.engine.proposer.annotated import AnnotatedImage, EmbeddingFolder, Pair
from samjax.engine.proposer.fitted import Proposer
from samjax.engine.proposer.prompting import PromptSource
from samjax.engine.proposer.proposing import propose
from samjax.engine.sources import PROPOSED, REJECTED, is_by_people
from samjax.geometry.masks import counts_to_text, decode_rle, text_to_counts
from samjax.inference import Predictor, read_image
from samjax.inference.automatic.records import Proposal


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


LEAST_IMAGES = 3
"""Fewest images that a proposer is fitted to: to train, calibrate and measure on."""

_NAMESPACE = uuid.UUID("4f0f5d0e-8f0b-4c6e-9c53-2f7f7c1f5c21")


def open_images(project: ProjectFolder, store: AnnotationStore) -> list[str]:
    """Returns the images that are still to annotate.

    Those of open tasks, in the order of the queue, with gold images among them; without a
    queue all images on which no person made a mask.

    Args:
        project: The project.
        store: Its store.
    """
    tasks = TaskQueue(store.database)
    if any(kind == "annotate" for kind, _ in tasks.counts()):
        names = tasks.open_images()
        gold = project.gold_images_of_people()
        # Spread, so that ids and times of proposals do not tell them.
        step = (len(names) + len(gold)) / max(len(gold), 1)
        for number, name in enumerate(gold):
            names.insert(int((number + 0.5) * step), name)
        return names
    _, rows = store.snapshot()
    annotated = {row["image"] for row in rows if is_by_people(row)}
    return [name for name in project.names() if name not in annotated]


def annotated_images(project: ProjectFolder) -> list[AnnotatedImage]:
    """Returns the images with masks of people, as the proposer learns from them.

    Gold images that people get are left out, unless fewer than three others are there:
    their proposals would be better than those of other images.

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

    names = _without_gold(project, list(masks))
    return [AnnotatedImage(name=name, read=reader(name)) for name in names]


def _without_gold(project: ProjectFolder, images: Sequence[str]) -> list[str]:
    """Returns images without the gold ones that people get, if three others are there.

    Args:
        project: The project.
        images: Names of images.
    """
    gold = set(project.gold_images_of_people())
    others = [name for name in images if name not in gold]
    return others if len(others) >= LEAST_IMAGES else list(images)


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
    changes nothing, and a proposal that a person deleted does not return. The second of
    two people on an image gets the same ones. Those on gold images wait apart, and do
    not depend on the trusted masks.

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
    gold = set(project.gold_images_of_people())
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
        made = [] if name in gold else _decided(store, name)
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
        masks = {counts_to_text(mask.counts): mask for mask, _ in shown}
        fields = {"model": proposer.model, "round": round}
        _replace_proposals(store, name, name in gold, masks, pixels.shape[:2], fields)
        yield Proposed(name, len(shown))


def _decided(store: AnnotationStore, name: str) -> list[Int[np.ndarray, " r"]]:
    """Returns the masks of an image that people made, took or rejected."""
    _, rows, _ = store.changes(name)
    return [
        text_to_counts(row["segmentation"]["counts"])
        for row in (*rows, *store.rejected(name))
        if is_by_people(row) or row["source"] == REJECTED
    ]


def _replace_proposals(
    store: AnnotationStore,
    name: str,
    is_gold: bool,
    masks: Mapping[str, Proposal],
    size: tuple[int, int],
    fields: Mapping[str, Any],
) -> None:
    """Stores the proposals of an image, by their run lengths, in all layers for them."""
    with store.database.connection() as connection:
        layers = layers_for_proposals(connection, name, is_gold)
        serial = count_gold_tasks(connection, name)
    model = fields["model"]
    for layer in layers:
        _, rows, _ = store.changes(name, layer=layer)
        _remove_old(store, rows, model)
        own = {
            row["segmentation"]["counts"]
            for row in rows
            if layer and row["model"] == model
        }
        for text, mask in masks.items():
            # The same name for the same mask, so that a repeated run stores it once. A
            # waiting layer has other names after it was given away.
            key = f"{name}\n{model}\n{text}" + (f"\n{layer}\n{serial}" if layer else "")
            if text not in own:
                _store(
                    store, (name, layer), key, encoded_mask(text, size), mask, fields
                )


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
    place: tuple[str, int],
    key: str,
    encoded: EncodedMask,
    mask: Proposal,
    fields: Mapping[str, Any],
) -> None:
    """Stores a proposal on an image and a layer, with a name that follows from a key."""
    image, layer = place
    own = {
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
        **fields,
    }
    try:
        store.add(image, str(uuid.uuid5(_NAMESPACE, key)), encoded, own, layer)
    except UuidTaken:
        # A person deleted it: it does not return.
        return
