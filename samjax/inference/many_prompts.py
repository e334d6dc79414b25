"""Many prompts on one image, over an image side of the decoder that is computed once.

The same masks as those of `Predictor.predict_all` up to rounding, at about half the cost
per prompt (`samjax.models.amortized`). Prompts with a mask have an image side of their
own, and few prompts do not make up for the preparation: both take the predictor's way.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int

from samjax.inference.automatic.device import prepare_image
from samjax.inference.batching import pack, plan_calls
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.grouping import PARALLEL_ON_CPU, PROMPTS_ON_CPU, map_groups
from samjax.inference.masks import Masks
from samjax.inference.predictor import Predictor, check_scores
from samjax.inference.prompt_inputs import to_inputs
from samjax.models.amortized import AmortizedDecoder, PreparedImage
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import MaskPrediction, Sam
from samjax.prompts import Prompt

FEWEST = 8
"""Prompts without a mask from which the image side is prepared."""


def predict_many(
    predictor: Predictor, embedding: ImageEmbedding, prompts: Sequence[Prompt]
) -> list[Masks]:
    """Predicts all masks of each prompt on one image.

    Args:
        predictor: The model.
        embedding: What `Predictor.embed` returned for the image.
        prompts: The prompts.

    Returns:
        For each prompt `Masks` of length 4, as `Predictor.predict_all` returns them.

    Raises:
        ValueError: As for `Predictor.predict`.
    """
    without_mask = [
        index
        for index, prompt in enumerate(prompts)
        if prompt.mask is None and prompt.text is None
    ]
    if len(without_mask) < FEWEST:
        return predictor.predict_all(embedding, prompts)
    predictor.check_embedding(embedding)
    masks = dict(
        zip(
            without_mask,
            _decode(predictor, embedding, [prompts[index] for index in without_mask]),
            strict=True,
        )
    )
    others = [index for index in range(len(prompts)) if index not in masks]
    if others:
        rest = predictor.predict_all(embedding, [prompts[index] for index in others])
        masks |= dict(zip(others, rest, strict=True))
    return [masks[index] for index in range(len(prompts))]


def _decode(
    predictor: Predictor, embedding: ImageEmbedding, prompts: Sequence[Prompt]
) -> list[Masks]:
    frame = embedding.frame
    inputs = [to_inputs(prompt, frame, predictor.low_res_size) for prompt in prompts]
    prepared = _prepared(predictor, embedding)
    calls = plan_calls([inputs])
    # All calls are dispatched to the device before the first result is awaited.
    predictions = [
        _decode_prepared(
            predictor.params,
            prepared,
            pack(call, [inputs]),
            np.int32(len(call.prompts[0])),
            model=predictor.model,
            on_cpu=jax.default_backend() == "cpu",
        )
        for call in calls
    ]
    masks: dict[int, Masks] = {}
    for call, prediction in zip(calls, predictions, strict=True):
        logits, scores = (np.asarray(array) for array in prediction)
        check_scores(scores)
        for row, index in enumerate(call.prompts[0]):
            # Copies: a view would keep the arrays of the whole call alive.
            masks[index] = Masks(logits[row].copy(), scores[row].copy(), frame)
    return [masks[index] for index in range(len(prompts))]


@functools.lru_cache(maxsize=1)
def _prepared(predictor: Predictor, embedding: ImageEmbedding) -> PreparedImage:
    """Returns the image side of the last image, for which several calls may come."""
    return prepare_image(predictor.params, embedding.features, model=predictor.model)


@functools.partial(jax.jit, static_argnames=("model", "on_cpu"))
def _decode_prepared(
    params: Mapping[str, Any],
    prepared: PreparedImage,
    prompts: PromptInputs,
    num_valid: Int[Array, ""],
    *,
    model: Sam,
    on_cpu: bool,
) -> MaskPrediction:
    """Decodes the prompts "1 p" of an image; those after the valid ones are padding.

    Returns:
        Logits "p m lh lw" and predicted IoUs "p m", rows of padding undefined.
    """
    decoder = AmortizedDecoder(model)

    def decode(in_group: PromptInputs) -> MaskPrediction:
        of_image = jax.tree.map(lambda leaf: leaf[None], in_group)
        decoded = decoder.decode_prompts(params, prepared, of_image)
        return jax.tree.map(lambda leaf: leaf[0], decoded)

    in_image = jax.tree.map(lambda leaf: leaf[0], prompts)
    if not on_cpu:
        return decode(in_image)
    return map_groups(
        decode,
        in_image,
        num_valid,
        size=PROMPTS_ON_CPU,
        num_parallel=PARALLEL_ON_CPU,
    )
