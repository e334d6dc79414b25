"""A batch part by part, where the devices' memory does not hold all of it at once.

Parts are cut so that every device works on images that it has already.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from samjax.sharding import constrain_batch, devices_of_batch


def map_masks(
    function: Callable[[Any, Any], Any],
    images: Any,
    masks: Any,
    at_a_time: int | None,
) -> Any:
    """Calls a function about the masks of a batch, for some of them at a time.

    The backward pass goes part by part too: what `function` needs for it beyond what it
    was given is made again if it says so (`jax.checkpoint`), and kept otherwise.

    Args:
        function: Takes `images` and `masks` of a part; returns a tree of arrays
            "... b k" in which what stands for a mask depends on it and its image alone.
        images: Arrays "b ...".
        masks: Arrays "b k ...".
        at_a_time: Masks that each device works on at a time, at most; None for all.

    Returns:
        What `function` would return for the whole batch.
    """
    number = jax.tree.leaves(masks)[0].shape[:2]
    of_images, of_masks = parts_of(
        number[0] // devices_of_batch(), number[1], at_a_time
    )

    def some_images(images: Any, masks: Any) -> Any:
        if of_masks == 1:
            return function(images, masks)
        cut = jax.tree.map(lambda x: _cut(x, 1, of_masks), masks)
        found = _in_turn(lambda masks: function(images, masks), cut)
        # "parts ... b k/parts" back to "... b k".
        return jax.tree.map(
            lambda x: jnp.moveaxis(x, 0, -1).reshape(*x.shape[1:-1], -1), found
        )

    if of_images == 1:
        return some_images(images, masks)
    cut = jax.tree.map(lambda x: cut_images(x, of_images), (images, masks))
    found = _in_turn(lambda part: some_images(*part), constrain_batch(cut, axis=1))
    # "parts ... b/parts k" back to "... b k".
    return jax.tree.map(
        lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-2], -1, x.shape[-1]), found
    )


def parts_of(images: int, masks: int, at_a_time: int | None) -> tuple[int, int]:
    """Says into how many parts to cut the images, and the masks of each image.

    Args:
        images: Images of a device.
        masks: Masks of an image.
        at_a_time: Masks of a device at a time, at most; None for all.

    Returns:
        Numbers that divide `images` and `masks`. Images are taken together only as
        long as all their masks are.
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


def cut_images(leaf: Array, parts: int) -> Array:
    """Cuts the images into parts, "b ..." to "parts b/parts ...".

    Part i has every `parts`-th image from the i-th on: where each device holds a run of
    images, no part then moves any.

    Raises:
        ValueError: They cannot be cut into so many equal parts.
    """
    if leaf.shape[0] % parts:
        raise ValueError(
            f"a batch of {leaf.shape[0]} images cannot be cut into {parts} equal parts:"
            " choose a number that divides batch_size"
        )
    return _cut(leaf, 0, parts)


def _cut(leaf: Array, axis: int, parts: int) -> Array:
    before, after = leaf.shape[:axis], leaf.shape[axis + 1 :]
    cut = leaf.reshape(*before, leaf.shape[axis] // parts, parts, *after)
    return jnp.moveaxis(cut, axis + 1, 0)


def _in_turn(function: Callable[[Any], Any], parts: Any) -> Any:
    return jax.lax.scan(lambda _, part: (None, function(part)), None, parts)[1]
