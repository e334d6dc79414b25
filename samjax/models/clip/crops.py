"""Vectors of length 1 of crops and phrases, as jitted functions."""

import functools
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from samjax.models.clip.model import DualEncoder
from samjax.models.clip.text_tower import embed_short


@functools.partial(jax.jit, static_argnames="model")
def embed_crops(
    params: Mapping[str, Any],
    pixels: UInt8[Array, "b s s 3"],
    inside: Bool[Array, "b g g"],
    *,
    model: DualEncoder,
) -> Float[Array, "b e"]:
    """Embeds crops around masks (SAM, appendix D.5).

    Args:
        params: The parameters of the model.
        pixels: RGB of the model's size.
        inside: Patches that the output token attends to in the last layer.
        model: CLIP or SigLIP.
    """
    mean = jnp.array(model.pixel_mean).reshape(1, 1, 1, 3)
    deviation = jnp.array(model.pixel_std).reshape(1, 1, 1, 3)
    normalized = (pixels / 255.0 - mean) / deviation
    vectors = model.apply({"params": params}, normalized, inside, method="embed_image")
    return _unit(cast(Array, vectors))


@functools.partial(jax.jit, static_argnames="model")
def embed_phrases(
    params: Mapping[str, Any], tokens: Int[Array, "n t"], *, model: DualEncoder
) -> Float[Array, "n e"]:
    """Embeds phrases.

    Args:
        params: The parameters of the model.
        tokens: Rows of its tokenizer, of the context's length.
        model: CLIP or SigLIP.
    """

    def embed(tokens: Int[Array, "n t"]) -> Float[Array, "n e"]:
        variables = {"params": params}
        return cast(Array, model.apply(variables, tokens, method="embed_text"))

    return _unit(embed_short(embed, tokens) if model.reads_end else embed(tokens))


def _unit(vectors: Float[Array, "n e"]) -> Float[Array, "n e"]:
    vectors = vectors.astype(jnp.float32)
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
