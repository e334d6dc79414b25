"""Mask prediction for the prompts of a request."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from samjax.data.formats.annotations import box_of_counts
from samjax.geometry.masks import counts_to_mask, counts_to_text, mask_to_counts
from samjax.inference import ImageEmbedding, Masks, Predictor, Prompt
from samjax.web.fair_lock import FairLock
from samjax.web.mask_checks import counts_of
from samjax.web.refusals import invalid
from samjax.web.schemas import PromptIn

MaskBodies = list[dict[str, Any]]
"""Masks in the form of the API, best first."""

# Prompts that are decoded in one batch.
_AT_A_TIME = 8


def predict(
    predictor: Predictor,
    embedding: ImageEmbedding,
    prompts: Sequence[PromptIn],
    multimask: bool | None,
    turn: FairLock,
) -> list[MaskBodies]:
    """Predicts masks for prompts on one image.

    Args:
        predictor: The model.
        embedding: Embedding of the image.
        prompts: Any number of prompts; the masks of a few at a time are in memory.
        multimask: As for `Predictor.predict`.
        turn: Acquired per batch of prompts, so that other requests run in between.

    Returns:
        The masks of each prompt.

    Raises:
        Refusal: A prompt cannot be used; none is decoded then.
    """
    size = embedding.frame.original_size
    for given in prompts:
        _check(given, size)
    bodies: list[MaskBodies] = []
    for batch in _batches(prompts):
        with turn:
            # Checked before, and made here: mask prompts have the size of the image.
            made = [make_prompt(given, size) for given in batch]
            try:
                (predictions,) = predictor.predict_batch(
                    [embedding], [made], multimask=multimask
                )
            except ValueError as error:
                raise invalid(str(error)) from error
            del made
        for masks in predictions:
            with turn:
                bodies.append(_mask_bodies(masks))
    return bodies


def make_prompt(given: PromptIn, size: tuple[int, int]) -> Prompt:
    """Returns the prompt of a request, for an image of `size`, (h, w).

    Raises:
        Refusal: It cannot be used.
    """
    mask = None
    if given.mask is not None:
        mask = counts_to_mask(counts_of(given.mask, size, "mask"), size)
    return _prompt(given, mask)


def _check(given: PromptIn, size: tuple[int, int]) -> None:
    """Checks a prompt as `make_prompt` does, without decoding the pixels of its mask."""
    if given.mask is not None:
        counts_of(given.mask, size, "mask")
    _prompt(given, None)


def _prompt(given: PromptIn, mask: np.ndarray | None) -> Prompt:
    try:
        return Prompt(
            points=[list(point) for point in given.points],
            labels=given.labels,
            box=None if given.box is None else list(given.box),
            mask=mask,
            text=given.text,
        )
    except ValueError as error:
        raise invalid(str(error)) from error


def _batches(prompts: Sequence[PromptIn]) -> Iterator[list[PromptIn]]:
    """Yields prompts in batches, in order; one with a mask alone, for its memory."""
    batch: list[PromptIn] = []
    for given in prompts:
        if batch and (given.mask is not None or len(batch) == _AT_A_TIME):
            yield batch
            batch = []
        batch.append(given)
        if given.mask is not None:
            yield batch
            batch = []
    if batch:
        yield batch


def _mask_bodies(masks: Masks) -> MaskBodies:
    bodies = []
    ranked = masks.best_first()
    for index in range(len(ranked)):
        # One mask at a time at the image's size, which takes far more memory than its
        # run lengths.
        pixels = ranked.select(slice(index, index + 1)).masks[0]
        counts = mask_to_counts(pixels)
        bodies.append(
            {
                "segmentation": {
                    "size": list(pixels.shape),
                    "counts": counts_to_text(counts),
                },
                "score": float(ranked.scores[index]),
                "bbox": box_of_counts(counts, pixels.shape[0]),
                "area": int(counts[1::2].sum()),
            }
        )
    return bodies
