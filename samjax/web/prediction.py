"""Prompts of a request to masks of its answer."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from samjax.data.formats.annotations import box_of_counts
from samjax.geometry.masks import counts_to_mask, counts_to_text, mask_to_counts
from samjax.inference import ImageEmbedding, Masks, Predictor, Prompt
from samjax.web.fair_lock import FairLock
from samjax.web.masks import counts_of
from samjax.web.refusals import invalid
from samjax.web.schemas import PromptIn

Answer = list[dict[str, Any]]
"""Masks in the form of the API, best first."""

# Prompts that are decoded together.
_AT_A_TIME = 8


def predict(
    predictor: Predictor,
    embedding: ImageEmbedding,
    prompts: Sequence[PromptIn],
    multimask: bool | None,
    turn: FairLock,
) -> list[Answer]:
    """Answers prompts on one image.

    Args:
        predictor: The model.
        embedding: Of the image.
        prompts: However many: of few at a time the masks are in memory.
        multimask: As for `Predictor.predict`.
        turn: Is held for a prompt or so at a time, so that others do not wait for all.

    Raises:
        Refusal: A prompt cannot be used; then none is answered.
    """
    size = embedding.frame.original_size
    for given in prompts:
        _check(given, size)
    answers: list[Answer] = []
    for some in _few_at_a_time(prompts):
        with turn:
            asked = [make_prompt(given, size) for given in some]
            try:
                (found,) = predictor.predict_batch(
                    [embedding], [asked], multimask=multimask
                )
            except ValueError as error:
                raise invalid(str(error)) from error
            del asked
        for masks in found:
            with turn:
                answers.append(_described(masks))
    return answers


def make_prompt(given: PromptIn, size: tuple[int, int]) -> Prompt:
    """Makes a prompt for an image of `size`, (h, w).

    Raises:
        Refusal: It cannot be used.
    """
    mask = None
    if given.mask is not None:
        mask = counts_to_mask(counts_of(given.mask, size, "mask"), size)
    return _prompt(given, mask)


def _check(given: PromptIn, size: tuple[int, int]) -> None:
    """Checks a prompt as `make_prompt` does, without the pixels of its mask."""
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


def _few_at_a_time(prompts: Sequence[PromptIn]) -> Iterator[list[PromptIn]]:
    """Prompts in their order: those with a mask alone, as it has the image's size."""
    some: list[PromptIn] = []
    for given in prompts:
        if some and (given.mask is not None or len(some) == _AT_A_TIME):
            yield some
            some = []
        some.append(given)
        if given.mask is not None:
            yield some
            some = []
    if some:
        yield some


def _described(masks: Masks) -> Answer:
    answer = []
    ranked = masks.best_first()
    for index in range(len(ranked)):
        # One by one: a mask of a large image is large, its run lengths are not.
        pixels = ranked.select(slice(index, index + 1)).masks[0]
        counts = mask_to_counts(pixels)
        answer.append(
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
    return answer
