"""The gradient of a batch that is too large for the devices' memory, part by part."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from samjax.sharding import constrain_batch, constrain_params
from samjax.training.microbatches import cut_images

T = TypeVar("T")

# (parameters, part of the batch, key) to ((loss, metrics), gradient).
GradientOf = Callable[[Any, Any, PRNGKeyArray], tuple[tuple[Array, Any], Any]]

# Metrics that count; all others, the loss and its gradient are means over the valid
# masks, of which the count is the first.
COUNTS = ("masks", "bad_examples", "bad_masks")


def accumulated(
    gradient_of: GradientOf, params: Any, batch: Any, key: PRNGKeyArray, parts: int
) -> tuple[dict[str, Array], Any]:
    """Computes metrics and gradient of a batch, in one part or in several.

    Each part's means over its own masks are weighted by their number, so that the sum
    is the mean over all valid masks of the batch, however these are spread. Images of a
    part come from all devices.

    Args:
        gradient_of: The gradient of a mean over the valid masks of what it is given.
        params: What the gradient is taken by.
        batch: Arrays with the images along their first dimension.
        key: Randomness; every part gets its own.
        parts: How many parts.

    Returns:
        The metrics, and the gradient.

    Raises:
        ValueError: The batch cannot be cut into so many equal parts.
    """
    if parts == 1:
        (_, metrics), gradients = gradient_of(params, batch, key)
        return metrics, constrain_params(gradients)

    def one(part: Any, part_key: PRNGKeyArray) -> tuple[dict[str, Array], Any]:
        (_, metrics), gradients = gradient_of(params, part, part_key)
        masks = metrics["masks"].astype(jnp.float32)
        metrics = {k: v if k in COUNTS else v * masks for k, v in metrics.items()}
        gradients = jax.tree.map(lambda g: g * masks, gradients)
        return metrics, constrain_params(gradients)

    def add(total: Any, inputs: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, one(*inputs)), None

    cut = constrain_batch(jax.tree.map(lambda x: cut_images(x, parts), batch), axis=1)
    keys = jax.random.split(key, parts)
    shapes = jax.eval_shape(one, jax.tree.map(lambda x: x[0], cut), keys[0])
    metrics, gradients = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    start = metrics, constrain_params(gradients)
    (metrics, gradients), _ = jax.lax.scan(add, start, (cut, keys))
    masks = jnp.maximum(metrics["masks"], 1).astype(jnp.float32)
    metrics = {k: v if k in COUNTS else v / masks for k, v in metrics.items()}
    return metrics, jax.tree.map(lambda g: g / masks, gradients)
