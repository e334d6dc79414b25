"""Compares an exported decoder with the model: both predict masks of the same prompts.

Prompts are drawn over real image embeddings: the effect of smaller weights on masks
shows where there are masks, not in noise.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from samjax.models.mask_decoder import MaskPrediction
from samjax.models.prompt_encoder import ABSENT, NOT_A_POINT, PromptInputs
from samjax.models.sam import Sam

# Points of the prompts, from one to many.
POINT_COUNTS = (1, 1, 1, 2, 3, 5, 8, 13, 21, 32)
_SLOTS = max(POINT_COUNTS) + 2


Feeds = dict[str, np.ndarray]
"""Inputs of the graphs by name: a prompt and its image embedding."""

Prediction = tuple[np.ndarray, np.ndarray]
"""Low-res logits "1 m i j" and predicted IoUs "1 m"."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How close the predictions of a graph are to the model's.

    Attributes:
        prompts: Number of prompts compared.
        logit_error: Largest difference of mask logits, over the root of their mean
            square.
        score_error: Largest difference of predicted IoUs.
        mask_iou: Mean IoU of the graph's masks with the model's.
        least_mask_iou: Least of these IoUs.
    """

    prompts: int
    logit_error: float
    score_error: float
    mask_iou: float
    least_mask_iou: float


def draw_prompts(
    model: Sam, embeddings: Sequence[np.ndarray], seed: int = 0
) -> list[Feeds]:
    """Draws prompts: points, points with a box, and either with a mask prompt.

    Args:
        model: The model.
        embeddings: Image embeddings, "gh gw c".
        seed: Seed of the random prompts.
    """
    rng = np.random.default_rng(seed)
    side = model.config.image_size
    prompts = []
    for embedding in embeddings:
        height, width, _ = embedding.shape
        for i, points_drawn in enumerate(POINT_COUNTS):
            has_box, has_mask = i % 3 == 2, i % 2 == 1
            points = rng.uniform(0, side, (1, points_drawn + 1 + has_box, 2))
            labels = rng.integers(0, 2, (1, points_drawn + 1 + has_box))
            labels[0, 0] = 1
            labels[0, points_drawn:] = [2, 3] if has_box else [NOT_A_POINT]
            if has_box:
                points[0, points_drawn:] = np.sort(points[0, points_drawn:], axis=0)
            mask = 4 * rng.normal(size=(1, 1, 4 * height, 4 * width))
            feeds = {
                "image_embeddings": embedding.transpose(2, 0, 1)[None],
                "mask_input": mask,
                "has_mask_input": np.array([has_mask]),
                "point_coords": points,
                "point_labels": labels,
            }
            prompts.append(
                {k: np.ascontiguousarray(v, np.float32) for k, v in feeds.items()}
            )
    return prompts


def predict(model: Sam, params: Any, prompts: Sequence[Feeds]) -> list[Prediction]:
    """Returns the model's own predictions for every prompt, in float32."""
    model = model.clone(dtype=jnp.float32)
    predictions = []
    for feeds in prompts:
        # Padded with absent points, which change nothing, all have one compiled shape.
        free = ((0, 0), (0, _SLOTS - feeds["point_labels"].shape[1]))
        labels = np.pad(feeds["point_labels"], free, constant_values=ABSENT)
        inputs = PromptInputs(
            jnp.asarray(np.pad(feeds["point_coords"], (*free, (0, 0)))[None]),
            jnp.asarray(labels[None], jnp.int32),
            jnp.asarray(feeds["mask_input"]),
            jnp.asarray(feeds["has_mask_input"] > 0)[None],
        )
        embeddings = jnp.asarray(feeds["image_embeddings"].transpose(0, 2, 3, 1))
        prediction = decode(params, embeddings, inputs, model=model)
        predictions.append(
            (
                np.asarray(prediction.low_res_logits[0]),
                np.asarray(prediction.iou_predictions[0]),
            )
        )
    return predictions


def agreement(
    predictions: Sequence[Prediction],
    expected: Sequence[Prediction],
) -> Agreement:
    """Compares predictions of a graph with those of the model."""
    logit_errors, score_errors, ious = [], [], []
    for (logits, scores), (right, right_scores) in zip(
        predictions, expected, strict=True
    ):
        size = np.sqrt(np.mean(np.square(right)))
        logit_errors.append(np.max(np.abs(logits - right)) / size)
        score_errors.append(np.max(np.abs(scores - right_scores)))
        ours, theirs = logits > 0, right > 0
        both, any_ = np.sum(ours & theirs, (2, 3)), np.sum(ours | theirs, (2, 3))
        # Two empty masks agree.
        ious.append(np.where(any_ > 0, both / np.maximum(any_, 1), 1.0))
    return Agreement(
        prompts=len(predictions),
        logit_error=float(max(logit_errors)),
        score_error=float(max(score_errors)),
        mask_iou=float(np.mean(ious)),
        least_mask_iou=float(np.min(ious)),
    )


def empty_inputs(session: Any) -> Feeds:
    """Returns zeros for the inputs of a graph, none along dimensions that are free.

    Args:
        session: A session of onnxruntime.
    """
    return {
        of.name: np.zeros(
            [side if isinstance(side, int) else 0 for side in of.shape], np.float32
        )
        for of in session.get_inputs()
    }


@functools.partial(jax.jit, static_argnames="model")
def decode(
    params: Any, embeddings: Any, prompts: PromptInputs, *, model: Sam
) -> MaskPrediction:
    """Decodes prompts by the model.

    Args:
        params: Its parameters.
        embeddings: Image embeddings, "b gh gw c".
        prompts: The prompts.
        model: The model.
    """
    variables = {"params": params}
    return cast(
        MaskPrediction, model.apply(variables, embeddings, prompts, method="decode")
    )
