"""Vectors of length 1 of crops and phrases, as jitted functions."""

import functools
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from samjax.models.clip.model import PIXEL_MEAN, PIXEL_STD, Clip
from samjax.models.clip.text_tower import embed_short


@functools.partial(jax.jit, static_argnames="model")
def embed_crops(
    params: Mapping[str, Any],
    pixels: UInt8[Array, "b s s 3"],
    inside: Bool[Array, "b g g"],
    *,
    model: Clip,
) -> Float[Array, "b e"]:
    """Embeds crops around masks (SAM, appendix D.5).

    Args:
        params: The parameters of CLIP.
        pixels: RGB of the model's size.
        inside: Patches that the output token attends to in the last layer.
        model: CLIP.
    """
    mean = jnp.array(PIXEL_MEAN).reshape(1, 1, 1, 3)
    deviation = jnp.array(PIXEL_STD).reshape(1, 1, 1, 3)
    normalized = (pixels / 255.0 - mean) / deviation
    vectors = model.apply({"params": params}, normalized, inside, method="embed_image")
    return _unit(cast(Array, vectors))


@functools.partial(jax.jit, static_argnames="model")
def embed_phrases(
    params: Mapping[str, Any], tokens: Int[Array, "n t"], *, model: Clip
) -> Float[Array, "n e"]:
    """Embeds phrases.

    Args:
        params: The parameters of CLIP.
        tokens: Rows of `samjax.text.ClipTokenizer`.
        model: CLIP.
    """

    def embed(tokens: Int[Array, "n t"]) -> Float[Array, "n e"]:
        variables = {"params": params}
        return cast(Array, model.apply(variables, tokens, method="embed_text"))

    return _unit(embed_short(embed, tokens))


def _unit(vectors: Float[Array, "n e"]) -> Float[Array, "n e"]:
    vectors = vectors.astype(jnp.float32)
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
