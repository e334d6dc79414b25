"""The text tower of SigLIP (Zhai et al., 2023): tokens to a vector in the joint space."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.clip.towers import Transformer
from samjax.models.layers import layer_norm

# Ten times smaller than CLIP's.
EPSILON = 1e-6

tanh_gelu = functools.partial(jax.nn.gelu, approximate=True)


class SiglipTextTower(nn.Module):
    """A transformer over tokens in both directions, read out at the last position.

    Attributes:
        width: Channels of the tokens.
        depth: Blocks.
        num_heads: Attention heads of a block.
        mlp_dim: Hidden width of its MLP.
        embed_dim: Width of the joint space.
        vocab_size: Tokens of the vocabulary.
        context_length: Tokens of a text, padding included.
        dtype: Compute dtype; parameters are float32.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    embed_dim: int
    vocab_size: int
    context_length: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        normal = nn.initializers.normal
        self.transformer = Transformer(
            self.depth, self.num_heads, self.mlp_dim, tanh_gelu, self.dtype, EPSILON
        )
        self.token_embedding = nn.Embed(
            self.vocab_size, self.width, embedding_init=normal(0.02)
        )
        self.positional_embedding = self.param(
            "positional_embedding", normal(0.01), (self.context_length, self.width)
        )
        self.ln_final = layer_norm(EPSILON, self.dtype)
        self.head = nn.Dense(self.embed_dim, dtype=self.dtype)

    def __call__(self, tokens: Int[Array, "b t"]) -> Float[Array, "b e"]:
        """Embeds texts.

        Args:
            tokens: Rows of token ids, padded to the context's length: padding is
                attended to, and the vector is read at the last position.

        Returns:
            A vector per text in the joint space, not normalized.

        Raises:
            ValueError: The rows are not as long as the context.
        """
        if tokens.shape[1] != self.context_length:
            raise ValueError(
                f"Got {tokens.shape[1]} tokens a text, expected {self.context_length}: "
                "pad or cut the texts to the context, as the model was trained."
            )
        x = self.token_embedding(tokens) + self.positional_embedding[None]
        x = self.ln_final(self.transformer(x.astype(self.dtype)))
        return self.head(x[:, -1])
