"""Training on crops of the model's input, with the position embeddings of the crop.

An input of another size than the model's resizes the position tables: a small image is
then a coarse view of a whole one. A crop instead reads the rows of the tables that it
would read as part of an input of full size. Weights trained on crops, many times
cheaper than whole inputs, therefore apply to whole inputs unchanged.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Int, PRNGKeyArray

from samjax.models.params import POSITION_TABLE, global_relative_tables
from samjax.models.sam import Sam, SamConfig


def draw_origin(
    key: PRNGKeyArray, config: SamConfig, image_size: int
) -> Int[Array, "2"]:
    """Draws a crop's position: (x, y) of its first patch in the model's input grid."""
    free = (config.image_size - image_size) // config.patch_size
    return jax.random.randint(key, (2,), 0, free + 1)


def at_crop(
    model: Sam, params: Any, side: int, origin: Int[Array, "2"]
) -> tuple[Sam, Any]:
    """Returns a model whose own input size is a crop's, and its parameters.

    Args:
        model: The model.
        params: Its parameters.
        side: Side of the square crop in pixels.
        origin: (x, y) of its first patch in the model's input grid.
    """
    cropped = model.clone(config=dataclasses.replace(model.config, image_size=side))
    return cropped, crop_tables(params, model.config, side, origin)


def crop_tables(
    params: Any, config: SamConfig, image_size: int, origin: Int[Array, "2"]
) -> Any:
    """Slices the image encoder's position tables to a crop's.

    Args:
        params: The model's parameters.
        config: Its sizes.
        image_size: Side of the square crop in pixels.
        origin: (x, y) of its first patch.

    Returns:
        Parameters for an image encoder whose own size is the crop's; gradients flow
        back into the rows that were read.
    """
    side = image_size // config.patch_size
    flat: dict[Any, Any] = dict(flatten_dict(params))
    x, y = origin
    flat[POSITION_TABLE] = jax.lax.dynamic_slice(
        flat[POSITION_TABLE],
        (jnp.int32(0), y, x, jnp.int32(0)),
        (1, side, side, config.embed_dim),
    )
    # Row `d + grid_size - 1` is that of distance d: the short distances lie in the
    # middle of the table.
    first = config.grid_size - side
    for path in global_relative_tables(config.global_attention_blocks):
        flat[path] = flat[path][first : first + 2 * side - 1]
    return unflatten_dict(flat)
