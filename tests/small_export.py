"""A small model for tests of exports, and what its image encoder makes of an image."""

import jax
import jax.numpy as jnp
import numpy as np
from conftest import random_params

from samjax.geometry.frame import normalize
from samjax.models import SamConfig

# A grid of 8: windows of 3 are padded, those of 4 are not.
CONFIG = SamConfig(
    image_size=64,
    patch_size=8,
    embed_dim=24,
    depth=3,
    num_heads=2,
    global_attention_blocks=(1,),
    window_size=3,
    prompt_embed_dim=16,
    decoder_num_heads=2,
    decoder_mlp_dim=16,
)


def params_of(model):
    return jax.tree.map(jnp.float32, random_params(model, seed=0))


def embedding_of(model, params, image):
    """Returns the embedding of an image whose longer side is the model's, "1 c gh gw"."""
    height, width, _ = image.shape
    side = model.config.image_size
    padded = np.zeros((1, side, side, 3), np.uint8)
    padded[0, :height, :width] = image
    pixels = normalize(padded, np.array([[height, width]]))
    variables = {"params": params}
    # One operation after the other: compiling would take longer.
    found = model.apply(variables, pixels, method="encode_image")
    return np.asarray(jnp.moveaxis(found, -1, 1))
