"""The two-way transformer: prompt tokens and image embedding attend to each other.

SAM appendix A, "lightweight mask decoder". Every prompt set gets an image side of its
own. For many prompts of one image `samjax.models.amortized` computes the same without
writing these out.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from samjax.models.attention.token_attention import (
    ImageToTokenAttention,
    SelfAttention,
    TokenToImageAttention,
)
from samjax.models.layers import DECODER_EPSILON, MLP, layer_norm


class TwoWayTransformer(nn.Module):
    """Layers of two-way attention and a final attention of tokens to the image.

    Attributes:
        channels: Channels of tokens and image.
        depth: Number of layers.
        num_heads: Heads of every attention.
        mlp_dim: Hidden width of the token MLPs.
        dtype: Compute dtype; parameters are float32.
    """

    channels: int
    depth: int
    num_heads: int
    mlp_dim: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self.layers = [
            TwoWayLayer(
                is_first=i == 0,
                channels=self.channels,
                num_heads=self.num_heads,
                mlp_dim=self.mlp_dim,
                dtype=self.dtype,
            )
            for i in range(self.depth)
        ]
        self.final_attn_token_to_image = TokenToImageAttention(
            self.channels, self.num_heads, 2, self.dtype
        )
        self.norm_final_attn = layer_norm(DECODER_EPSILON, self.dtype)

    def __call__(
        self,
        tokens: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
        image: Float[Array, "b i s c"],
        image_positions: Float[Array, "s c"],
    ) -> tuple[Float[Array, "b p t c"], Float[Array, "b p s c"]]:
        """Runs the transformer.

        Args:
            tokens: Output tokens, then prompt tokens.
            token_mask: False where a token is absent and is not attended to.
            image: Image embedding plus dense prompt, flattened; its axis `i` is 1
                where it is the same for all prompt sets, else p.
            image_positions: Positional encoding of the image side.

        Returns:
            The tokens, and the image side of every prompt set.
        """
        positions = image_positions.astype(self.dtype)[None, None]
        original, image = tokens.astype(self.dtype), image.astype(self.dtype)
        tokens = original
        for layer in self.layers:
            tokens, image = layer(tokens, original, token_mask, image, positions)
        attended = self.final_attn_token_to_image(tokens + original, image, positions)
        return self.norm_final_attn(tokens + attended), image


class TwoWayLayer(nn.Module):
    """Self-attention of tokens, tokens to image, MLP on tokens, image to tokens."""

    is_first: bool
    channels: int
    num_heads: int
    mlp_dim: int
    dtype: DTypeLike

    def setup(self):
        attention = (self.channels, self.num_heads)
        self.self_attn = SelfAttention(*attention, 1, self.dtype)
        self.cross_attn_token_to_image = TokenToImageAttention(
            *attention, 2, self.dtype
        )
        self.mlp = MLP(self.mlp_dim, jax.nn.relu, self.dtype)
        self.cross_attn_image_to_token = ImageToTokenAttention(
            *attention, 2, self.dtype
        )
        self.norm1 = layer_norm(DECODER_EPSILON, self.dtype)
        self.norm2 = layer_norm(DECODER_EPSILON, self.dtype)
        self.norm3 = layer_norm(DECODER_EPSILON, self.dtype)
        self.norm4 = layer_norm(DECODER_EPSILON, self.dtype)

    def __call__(
        self,
        tokens: Float[Array, "b p t c"],
        original: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
        image: Float[Array, "b i s c"],
        positions: Float[Array, "1 1 s c"],
    ) -> tuple[Float[Array, "b p t c"], Float[Array, "b p s c"]]:
        """Runs the layer; `original` are the tokens before the first layer.

        They are added to queries and keys of tokens in every attention but the first,
        as `positions` are to those of the image; values have neither.
        """
        tokens = self.attend_among_tokens(tokens, original, token_mask)
        attended = self.cross_attn_token_to_image(tokens + original, image, positions)
        tokens = self.update_tokens(tokens, attended)
        update = self.cross_attn_image_to_token(
            image, positions, tokens + original, tokens, token_mask
        )
        return tokens, self.norm4(image + update)

    def attend_among_tokens(
        self,
        tokens: Float[Array, "b p t c"],
        original: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
    ) -> Float[Array, "b p t c"]:
        """Self-attention, with its residual and norm."""
        if self.is_first:
            # As in the release: no positions and no residual, the output replaces the
            # tokens.
            return self.norm1(self.self_attn(tokens, tokens, token_mask))
        return self.norm1(
            tokens + self.self_attn(tokens + original, tokens, token_mask)
        )

    def update_tokens(
        self, tokens: Float[Array, "b p t c"], attended: Float[Array, "b p t c"]
    ) -> Float[Array, "b p t c"]:
        """Adds the output of the attention to the image; norm, MLP and norm."""
        tokens = self.norm2(tokens + attended)
        return self.norm3(tokens + self.mlp(tokens))
