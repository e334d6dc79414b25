"""A small SAM with text and random parameters, for tests."""

import jax
import jax.numpy as jnp
import numpy as np

from samjax.models import PromptInputs
from samjax.models.text_sam import TextSam, TextSamConfig

WORDS = ("a", "the", "red", "cup", "spoon", "handle", "of")
SMALL_TEXT = TextSamConfig(
    image_size=64,
    patch_size=16,
    embed_dim=16,
    depth=2,
    num_heads=2,
    global_attention_blocks=(1,),
    window_size=2,
    prompt_embed_dim=32,
    mask_in_chans=4,
    decoder_num_heads=2,
    decoder_mlp_dim=16,
    text_embed_dim=12,
    text_width=16,
    text_depth=2,
    text_heads=2,
    text_mlp_dim=32,
    words=WORDS,
    vocab_size=len(WORDS) + 4,
    context_length=10,
)


def random_params(config=SMALL_TEXT, seed=0):
    """Returns parameters of which none is zero."""
    side = config.image_size
    prompts = PromptInputs(jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32))
    shapes = jax.eval_shape(
        TextSam(config).init, jax.random.key(0), jnp.zeros((1, side, side, 3)), prompts
    )["params"]
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: 0.3 * generator.standard_normal(leaf.shape, np.float32), shapes
    )
