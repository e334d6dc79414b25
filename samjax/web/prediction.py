"""Prompts of a request to masks of its answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from samjax.data.formats.annotations import box_of_counts
from samjax.geometry.masks import counts_to_mask, counts_to_text, mask_to_counts
from samjax.inference import ImageEmbedding, Masks, Predictor, Prompt
from samjax.web.masks import counts_of
from samjax.web.refusals import invalid
from samjax.web.schemas import PromptIn

Answer = list[dict[str, Any]]
"""Masks in the form of the API, best first."""


def predict(
    predictor: Predictor,
    embedding: ImageEmbedding,
    prompts: Sequence[PromptIn],
    multimask: bool | None,
) -> list[Answer]:
    """Answers prompts on one image.

    Raises:
        Refusal: A prompt cannot be used.
    """
    size = embedding.frame.original_size
    asked = [make_prompt(given, size) for given in prompts]
    try:
        (answers,) = predictor.predict_batch([embedding], [asked], multimask=multimask)
    except ValueError as error:
        raise invalid(str(error)) from error
    return [_described(masks) for masks in answers]


def make_prompt(given: PromptIn, size: tuple[int, int]) -> Prompt:
    """Makes a prompt for an image of `size`, (h, w).

    Raises:
        Refusal: It cannot be used.
    """
    mask = None
    if given.mask is not None:
        counts = counts_of(given.mask, size, "mask")
        mask = counts_to_mask(counts, size)
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


def _described(masks: Masks) -> Answer:
    answer = []
    for index in np.argsort(-masks.scores, kind="stable").tolist():
        one = slice(index, index + 1)
        # One by one: a mask of a large image is large, its run lengths are not.
        pixels = Masks(masks.logits[one], masks.scores[one], masks.frame).masks[0]
        counts = mask_to_counts(pixels)
        answer.append(
            {
                "segmentation": {
                    "size": list(pixels.shape),
                    "counts": counts_to_text(counts),
                },
                "score": float(masks.scores[index]),
                "bbox": box_of_counts(counts, pixels.shape[0]),
                "area": int(counts[1::2].sum()),
            }
        )
    return answer
