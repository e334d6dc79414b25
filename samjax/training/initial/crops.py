"""Training on parts of the model's input, as if the rest were there.

A model reads position tables of its own size. An input of another size resizes them: a
small image is then a coarse view of a whole one. A crop instead reads the part of the
tables that it would have read as a part of an input of full size, so that what a model
learns from crops, many times cheaper than whole inputs, holds for these as it is.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, Int, PRNGKeyArray

from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import MaskPrediction, Sam, SamConfig
from samjax.sharding import constrain_batch
from samjax.training.prompt_simulation import Decode


def draw_origin(
    key: PRNGKeyArray, config: SamConfig, image_size: int
) -> Int[Array, "2"]:
    """Draws where in the model's input a crop lies: (x, y) of its first patch."""
    free = (config.image_size - image_size) // config.patch_size
    return jax.random.randint(key, (2,), 0, free + 1)


def embed(
    model: Sam,
    params: Any,
    pixels: Float[Array, "b h w 3"],
    origin: Int[Array, "2"] | None = None,
    **options: Any,
) -> Float[Array, "b gh gw c"]:
    """Embeds normalized images, whole ones or crops.

    Args:
        model: The model.
        params: Its parameters.
        pixels: The images.
        origin: Where in the model's input they lie, (x, y) of their first patch; None
            for whole images.
        **options: For the image encoder.
    """
    encoder, tables = model, params
    if origin is not None:
        side = pixels.shape[1]
        encoder = model.clone(config=dataclasses.replace(model.config, image_size=side))
        tables = crop_tables(params, model.config, side, origin)
    embeddings = cast(
        Array,
        encoder.apply({"params": tables}, pixels, method="encode_image", **options),
    )
    return constrain_batch(embeddings)


def decoder_of(
    embeddings: Float[Array, "b gh gw c"],
    params: Any,
    model: Sam,
    origin: Int[Array, "2"] | None = None,
) -> Decode:
    """Makes what answers prompts about embedded images.

    Args:
        embeddings: Of whole images, or of crops.
        params: The model's parameters.
        model: The model.
        origin: Where crops lie, as for `embed`.
    """

    def decode(prompts: PromptInputs) -> MaskPrediction:
        prediction = model.apply(
            {"params": params}, embeddings, prompts, origin, method="decode"
        )
        return cast(MaskPrediction, prediction)

    return decode


def crop_tables(
    params: Any, config: SamConfig, image_size: int, origin: Int[Array, "2"]
) -> Any:
    """Cuts the image encoder's position tables to those of a crop.

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
    absolute = ("image_encoder", "pos_embed")
    x, y = origin
    flat[absolute] = jax.lax.dynamic_slice(
        flat[absolute],
        (jnp.int32(0), y, x, jnp.int32(0)),
        (1, side, side, config.embed_dim),
    )
    # Row `d + grid_size - 1` is that of distance d: the short distances lie in the
    # middle of the table.
    first = config.grid_size - side
    for block in config.global_attention_blocks:
        for name in ("rel_pos_h", "rel_pos_w"):
            path = ("image_encoder", f"blocks_{block}", "attn", name)
            flat[path] = flat[path][first : first + 2 * side - 1]
    return unflatten_dict(flat)
