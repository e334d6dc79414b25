"""Microbatches: gradient accumulation, and the decoder on some masks at a time.

Both bound the memory of a step and change nothing that it computes but the order of sums.
Batches are split so that every device works on images that it already holds.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from samjax.sharding import constrain_batch, constrain_params, devices_of_batch

# (parameters, microbatch, key) to ((loss, metrics), gradient).
GradientOf = Callable[[Any, Any, PRNGKeyArray], tuple[tuple[Array, Any], Any]]

# Metrics that are sums over the batch. All others, the loss and its gradient are means
# over the valid masks, whose number is the first of these.
COUNTS = ("masks", "bad_examples", "bad_masks")


def accumulate_gradients(
    gradient_of: GradientOf,
    params: Any,
    batch: Any,
    key: PRNGKeyArray,
    num_microbatches: int,
) -> tuple[dict[str, Array], Any]:
    """Computes metrics and gradient of a batch, in one or several microbatches.

    Each microbatch's means are weighted by its number of valid masks, so that the sum is
    the mean over all valid masks of the batch, however they are distributed.

    Args:
        gradient_of: `value_and_grad` of the loss, averaged over the microbatch's valid
            masks.
        params: Parameters to differentiate.
        batch: Arrays with the images along their first dimension.
        key: Random key; every microbatch gets its own.
        num_microbatches: Microbatches, which have to divide the batch.

    Returns:
        The metrics, which are scalars, and the gradient.

    Raises:
        ValueError: The batch cannot be split into so many equal microbatches.
    """
    if num_microbatches == 1:
        (_, metrics), gradients = gradient_of(params, batch, key)
        return metrics, constrain_params(gradients)

    def weighted(part: Any, part_key: PRNGKeyArray) -> tuple[dict[str, Array], Any]:
        (_, metrics), gradients = gradient_of(params, part, part_key)
        masks = metrics["masks"].astype(jnp.float32)
        metrics = {k: v if k in COUNTS else v * masks for k, v in metrics.items()}
        gradients = jax.tree.map(lambda g: g * masks, gradients)
        return metrics, constrain_params(gradients)

    def add(total: Any, inputs: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, weighted(*inputs)), None

    split = jax.tree.map(lambda x: split_images(x, num_microbatches), batch)
    split = constrain_batch(split, axis=1)
    keys = jax.random.split(key, num_microbatches)
    # The totals start from zeros: taking the first microbatch outside the scan would
    # compile the step's backward pass twice.
    shapes = jax.eval_shape(weighted, jax.tree.map(lambda x: x[0], split), keys[0])
    metrics, gradients = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    start = metrics, constrain_params(gradients)
    (metrics, gradients), _ = jax.lax.scan(add, start, (split, keys))
    masks = jnp.maximum(metrics["masks"], 1).astype(jnp.float32)
    metrics = {k: v if k in COUNTS else v / masks for k, v in metrics.items()}
    return metrics, jax.tree.map(lambda g: g / masks, gradients)


def map_masks(
    function: Callable[[Any, Any], Any],
    images: Any,
    masks: Any,
    at_a_time: int | None,
) -> Any:
    """Applies a function of images and their masks to some masks at a time.

    The backward pass runs over the same parts. Residuals of `function` are kept for all
    parts unless it recomputes them (`jax.checkpoint`).

    Args:
        function: Maps `images` and `masks` of a part to a tree of arrays "... b k",
            whose entry for a mask depends on that mask and its image alone.
        images: Arrays "b ...".
        masks: Arrays "b k ...".
        at_a_time: Most masks that each device processes together; None for all.

    Returns:
        The function's result for the whole batch.
    """
    batch_size, num_masks = jax.tree.leaves(masks)[0].shape[:2]
    image_parts, mask_parts = num_parts(
        batch_size // devices_of_batch(), num_masks, at_a_time
    )

    def over_masks(images: Any, masks: Any) -> Any:
        if mask_parts == 1:
            return function(images, masks)
        split = jax.tree.map(lambda x: _split(x, 1, mask_parts), masks)
        results = _in_sequence(lambda masks: function(images, masks), split)
        # "parts ... b k/parts" back to "... b k".
        return jax.tree.map(
            lambda x: jnp.moveaxis(x, 0, -1).reshape(*x.shape[1:-1], -1), results
        )

    if image_parts == 1:
        return over_masks(images, masks)
    split = jax.tree.map(lambda x: split_images(x, image_parts), (images, masks))
    results = _in_sequence(
        lambda part: over_masks(*part), constrain_batch(split, axis=1)
    )
    # "parts ... b/parts k" back to "... b k".
    return jax.tree.map(
        lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-2], -1, x.shape[-1]),
        results,
    )


def num_parts(images: int, masks: int, at_a_time: int | None) -> tuple[int, int]:
    """Returns into how many parts to split the images, and the masks of each image.

    Args:
        images: Images of a device.
        masks: Masks of an image.
        at_a_time: Most masks of a device at a time; None for all.

    Returns:
        Divisors of `images` and `masks`. Several images form a part only with all of
        their masks.
    """
    if at_a_time is None:
        return 1, 1
    fewest = next(
        parts
        for parts in range(1, images + 1)
        if images % parts == 0
        and (images // parts * masks <= at_a_time or parts == images)
    )
    if fewest < images or masks <= at_a_time:
        return fewest, 1
    return images, next(
        parts
        for parts in range(1, masks + 1)
        if masks % parts == 0 and masks // parts <= at_a_time
    )


def split_images(leaf: Array, parts: int) -> Array:
    """Splits a batch along its images, "b ..." to "parts b/parts ...".

    Part i takes every `parts`-th image from the i-th on. Each device holds consecutive
    images, so that no image moves to another device.

    Raises:
        ValueError: The batch cannot be split into so many equal parts.
    """
    if leaf.shape[0] % parts:
        raise ValueError(
            f"a batch of {leaf.shape[0]} images cannot be split into {parts} equal "
            "parts: choose a number that divides batch_size"
        )
    return _split(leaf, 0, parts)


def _split(leaf: Array, axis: int, parts: int) -> Array:
    before, after = leaf.shape[:axis], leaf.shape[axis + 1 :]
    split = leaf.reshape(*before, leaf.shape[axis] // parts, parts, *after)
    return jnp.moveaxis(split, axis + 1, 0)


def _in_sequence(function: Callable[[Any], Any], parts: Any) -> Any:
    return jax.lax.scan(lambda _, part: (None, function(part)), None, parts)[1]
