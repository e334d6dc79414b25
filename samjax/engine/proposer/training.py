"""Training of the head on images whose embeddings are ready: minutes on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from samjax.engine.proposer.head import PromptHead, focal_loss
from samjax.engine.proposer.targets import HeatTarget, centre_of
from samjax.geometry.masks import mask_iou
from samjax.inference import ImageEmbedding, Predictor, Prompt
from samjax.inference.many_prompts import predict_many

SHOWN_EVERY = 50
"""Steps between lines about the loss."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Options of the head and its training.

    Attributes:
        channels: Channels of its hidden layers.
        steps: Optimizer steps.
        batch_size: Images of a step.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay.
        background: Weight of cells outside all masks; below 1, since not every object of
            an image has a mask.
        seed: Seed of the parameters and of the order of images.
    """

    channels: int = 64
    steps: int = 150
    batch_size: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    background: float = 1.0
    seed: int = 0


def train_head(
    features: Sequence[Float[np.ndarray, "gh gw c"]],
    targets: Sequence[HeatTarget],
    config: HeadConfig,
    show: Callable[[str], None] = lambda text: None,
) -> tuple[PromptHead, dict[str, Any]]:
    """Trains a head.

    Args:
        features: Embeddings of the images.
        targets: Their heat maps.
        config: Options.
        show: Called with a line about the loss now and then.

    Returns:
        The head and its parameters.

    Raises:
        ValueError: There are no images.
        ImportError: The extra `train` is missing.
    """
    if not features:
        raise ValueError("got no images to train on, expected some with masks")
    import optax

    head = PromptHead(channels=config.channels)
    init, draws = jax.random.split(jax.random.key(config.seed))
    params = jax.jit(head.init)(init, jnp.asarray(features[0])[None])["params"]
    warmup = min(20, config.steps // 2)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(
            optax.warmup_cosine_decay_schedule(
                0.0, config.learning_rate, warmup, config.steps
            ),
            weight_decay=config.weight_decay,
        ),
    )
    state = optimizer.init(params)
    step = jax.jit(functools.partial(_step, head, optimizer))
    rng = np.random.default_rng(config.seed)
    order: list[int] = []
    for number in range(config.steps):
        while len(order) < config.batch_size:
            order += rng.permutation(len(features)).tolist()
        rows, order = order[: config.batch_size], order[config.batch_size :]
        batch = [
            np.stack(arrays).astype(np.float32)
            for arrays in (
                [features[row] for row in rows],
                [targets[row].heat for row in rows],
                [targets[row].weights for row in rows],
            )
        ]
        key = jax.random.fold_in(draws, number)
        params, state, loss = step(params, state, key, *batch)
        if (number + 1) % SHOWN_EVERY == 0:
            show(f"step {number + 1} of {config.steps}: loss {float(loss):.3f}")
    return head, jax.device_get(params)


def click_qualities(
    predictor: Predictor,
    embedding: ImageEmbedding,
    masks: Sequence[Bool[np.ndarray, "h w"]],
) -> list[float]:
    """Returns the IoU that the best of three masks has after a click on each centre."""
    centres = [centre_of(mask) for mask in masks]
    prompts = [Prompt(points=[(x, y)], labels=[1]) for x, y, _ in centres]
    if not prompts:
        return []
    predicted = predict_many(predictor, embedding, prompts)
    return [
        float(mask_iou(found.select(slice(1, None)).masks, mask[None]).max())
        for found, mask in zip(predicted, masks, strict=True)
    ]


def _step(
    head: PromptHead,
    optimizer: Any,
    params: Any,
    state: Any,
    key: jax.Array,
    features: jax.Array,
    heat: jax.Array,
    weights: jax.Array,
) -> tuple[Any, Any, jax.Array]:
    def loss_of(params: Any) -> jax.Array:
        logits = head.apply(
            {"params": params}, features, train=True, rngs={"dropout": key}
        )
        return focal_loss(cast(jax.Array, logits), heat, weights)

    loss, gradients = jax.value_and_grad(loss_of)(params)
    updates, state = optimizer.update(gradients, state, params)
    params = jax.tree.map(lambda leaf, update: leaf + update, params, updates)
    return params, state, loss
