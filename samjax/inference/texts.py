"""Texts to the vectors that the prompt encoder takes (SAM, section 7.5)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from samjax.models.clip.text_tower import embed_short
from samjax.models.params import TEXT_ENCODER, select_parts
from samjax.models.sam import Sam
from samjax.text import (
    ClipTokenizer,
    SiglipTokenizer,
    WordTokenizer,
    make_tokenizer,
)
from samjax.text.tokenizer import clean
from samjax.text.words import ARTICLES

KEPT_TEXTS = 4096
"""Vectors of texts that a predictor keeps, the most recently used ones."""


def embed_text(
    model: Sam, params: Mapping[str, Any], text: str
) -> Float[np.ndarray, " e"]:
    """Embeds one text. One program serves texts of all lengths.

    Args:
        model: A model that takes texts.
        params: Its parameters.
        text: The text.

    Returns:
        Its vector, of length 1, an array of the host.

    Raises:
        ImportError: The package that reads SigLIP's vocabulary is not installed.
        ValueError: The model takes no texts, or the text has no word that it knows.
    """
    if not model.has_text:
        raise ValueError(
            f"got a prompt with text ({text!r:.60}), but this model has no text tower: "
            "use points, a box or a mask, or weights with text, such as small_text"
        )
    tokenizer = tokenizer_of(model)
    if not clean(text) or not _has_tokens(tokenizer, text):
        raise ValueError(
            f"got the text {text!r:.60}, of which nothing is left without control "
            "characters and spaces, expected some words"
        )
    tokens = tokenizer([text])
    vectors = _embed(select_parts(params, (TEXT_ENCODER,)), tokens, model=model)
    return np.asarray(vectors)[0]


def tokenizer_of(model: Sam) -> ClipTokenizer | SiglipTokenizer | WordTokenizer:
    """Returns the tokenizer of a model that takes texts.

    Raises:
        ImportError: The package that reads SigLIP's vocabulary is not installed.
        ValueError: The model has SigLIP's tower and no vocabulary.
    """
    config = cast(Any, model.config)
    if config.text_tower == "siglip" and not config.text_vocabulary:
        raise ValueError(
            "the model has SigLIP's text tower without its vocabulary, expected the field "
            "text_vocabulary of its config: samjax.text.pack_vocabulary(FOLDER), with the "
            "folder of SigLIP's weights"
        )
    return make_tokenizer(
        words=config.words,
        vocabulary=config.text_vocabulary,
        context_length=config.context_length,
    )


def _has_tokens(tokenizer: Any, text: str) -> bool:
    """Returns whether SigLIP's tokenizer leaves something of a text; others do."""
    return not isinstance(tokenizer, SiglipTokenizer) or bool(tokenizer.encode(text))


def sample_texts(model: Sam) -> list[str]:
    """Returns some texts that a model knows the words of, to try it with.

    Raises:
        ValueError: The model takes no texts.
    """
    if not model.has_text:
        raise ValueError(
            "got a model without a text tower, expected weights with text, such as "
            "small_text"
        )
    words = [word for word in cast(Any, model.config).words if word not in ARTICLES]
    if not words:
        return ["a cup", "the red car on the left", "a person with an umbrella"]
    return words[:: 1 + len(words) // 8]


@functools.partial(jax.jit, static_argnames="model")
def _embed(
    params: Mapping[str, Any], tokens: Int[Array, "n t"], *, model: Sam
) -> Float[Array, "n e"]:
    def embed(tokens: Int[Array, "n t"]) -> Float[Array, "n e"]:
        variables = {"params": params}
        return cast(Array, model.apply(variables, tokens, method="embed_text"))

    reads_end = cast(Any, model).reads_end
    return embed_short(embed, tokens) if reads_end else embed(tokens)
