"""The text tower of CLIP: tokens to a vector in the joint space."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.clip.towers import EPSILON, Transformer, activation_of
from samjax.models.layers import layer_norm

SHORT = 16
"""Tokens of a short text, those of start and end included: some twelve words."""


class TextTower(nn.Module):
    """A causal transformer over tokens, read out at the end token.

    Attributes:
        width: Channels of the tokens.
        depth: Blocks.
        num_heads: Attention heads of a block.
        mlp_dim: Hidden width of its MLP.
        embed_dim: Width of the joint space.
        vocab_size: Tokens of the vocabulary.
        context_length: The most tokens of a text, those of start and end included.
        quick: Whether the activation of the MLPs is the quick GELU.
        dtype: Compute dtype; parameters are float32.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    embed_dim: int
    vocab_size: int
    context_length: int
    quick: bool
    dtype: DTypeLike = jnp.float32

    def setup(self):
        normal = nn.initializers.normal
        self.transformer = Transformer(
            self.depth,
            self.num_heads,
            self.mlp_dim,
            activation_of(self.quick),
            self.dtype,
        )
        self.token_embedding = nn.Embed(
            self.vocab_size, self.width, embedding_init=normal(0.02)
        )
        self.positional_embedding = self.param(
            "positional_embedding", normal(0.01), (self.context_length, self.width)
        )
        self.ln_final = layer_norm(EPSILON, self.dtype)
        self.text_projection = self.param(
            "text_projection", normal(self.width**-0.5), (self.width, self.embed_dim)
        )

    def __call__(self, tokens: Int[Array, "b t"]) -> Float[Array, "b e"]:
        """Embeds texts.

        Args:
            tokens: Rows of token ids. What is after the end token, the highest id, does
                not matter.

        Returns:
            A vector per text in the joint space, not normalized.

        Raises:
            ValueError: The rows are longer than the context.
        """
        length = tokens.shape[1]
        if length > self.context_length:
            raise ValueError(
                f"Got {length} tokens a text, expected at most "
                f"{self.context_length}: cut the texts."
            )
        x = self.token_embedding(tokens) + self.positional_embedding[None, :length]
        causal = jnp.tril(jnp.ones((1, length, length), bool))
        x = self.transformer(x.astype(self.dtype), causal)
        # argmax gives the first of several end tokens.
        end = jnp.argmax(tokens, axis=1)
        x = jnp.take_along_axis(x, end.reshape(-1, 1, 1), axis=1)[:, 0]
        return self.ln_final(x) @ self.text_projection.astype(self.dtype)


def embed_short(
    embed: Callable[[Int[Array, "b t"]], Float[Array, "b e"]], tokens: Int[Array, "b t"]
) -> Float[Array, "b e"]:
    """Embeds texts of which most are short, in a fraction of the time.

    Attention is causal and a text is read at its end token, so that what is behind it
    can be left out. Both lengths are in one program: a text of another length compiles
    nothing.

    Args:
        embed: A text tower.
        tokens: Rows of token ids of the context's length.
    """
    if tokens.shape[1] <= SHORT:
        return embed(tokens)
    is_short = jnp.all(jnp.argmax(tokens, axis=1) < SHORT)
    return jax.lax.cond(
        is_short, lambda: embed(tokens[:, :SHORT]), lambda: embed(tokens)
    )
