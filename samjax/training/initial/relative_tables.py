"""Relative position tables of a model that is trained below its own input size.

On a smaller grid a global block interpolates its tables linearly, so that only the rows
near the sampled distances are trained: the others keep their initial values. Before the
model is used at its full size, these are interpolated from the trained rows.
"""

from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from samjax.models.params import global_relative_tables
from samjax.models.sam import SamConfig


def fill_relative_tables(params: Any, config: SamConfig, image_size: int) -> Any:
    """Interpolates the rows that training at `image_size` did not touch.

    The model's output at `image_size` hardly changes, and not at all where that is its
    own input size.

    Args:
        params: The model's parameters.
        config: Its sizes.
        image_size: Side of the square training images in pixels.
    """
    length = 2 * (image_size // config.patch_size) - 1
    if length >= 2 * config.grid_size - 1:
        return params
    flat: dict[Any, Any] = dict(flatten_dict(params))
    for path in global_relative_tables(config.global_attention_blocks):
        flat[path] = _through(flat[path], length)
    return unflatten_dict(flat)


def _through(table: Float[Array, "l d"], length: int) -> Float[Array, "l d"]:
    """Samples the table as `relative_positions` does, and interpolates back linearly."""
    sampled = jax.image.resize(
        table, (length, table.shape[1]), "linear", antialias=False
    )
    return jax.image.resize(sampled, table.shape, "linear", antialias=False)
