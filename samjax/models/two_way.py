"""The two-way transformer: prompt tokens and image embedding attend to each other.

SAM appendix A, "lightweight mask decoder". It runs in two ways. The call writes out the
image side of every prompt set, whatever the prompts are. `share` and `answer` are for
many prompts of one image, none of them a mask: what they have in common is computed
once, and no image side is written out (`samjax.models.amortized.factors`).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from samjax.models.amortized.factors import (
    ImageSides,
    Reading,
    Shared,
    Variance,
    add_and_normalize,
    update,
)
from samjax.models.attention.token_attention import (
    ImageToTokenAttention,
    SelfAttention,
    TokenToImageAttention,
)
from samjax.models.layers import DECODER_EPSILON, MLP, layer_norm


class SharedLayer(NamedTuple):
    """What all prompts of an image have in common in a layer.

    Attributes:
        from_image: Keys and values of the tokens' attention to the image.
        queries: Of the image's attention to the tokens.
        variance: Of the norm after it.
    """

    from_image: tuple[Reading, Reading]
    queries: Reading
    variance: Variance


class SharedTransformer(NamedTuple):
    """What all prompts of an image have in common in the transformer.

    Attributes:
        layers: Of every layer.
        final: Keys and values of the final attention.
    """

    layers: tuple[SharedLayer, ...]
    final: tuple[Reading, Reading]


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
            token_mask: False where a token is absent and nobody may attend to it.
            image: Image embedding plus dense prompt, flattened; its axis `i` is 1
                where all prompt sets share it, else p.
            image_positions: Positional encoding of the image side.

        Returns:
            The tokens, and the image side of every prompt set.
        """
        positions = image_positions.astype(self.dtype)[None, None]
        original, image = tokens.astype(self.dtype), image.astype(self.dtype)
        tokens = original
        for layer in self.layers:
            tokens, image = layer(tokens, original, token_mask, image, positions)
        gathered = self.final_attn_token_to_image(tokens + original, image, positions)
        return self.norm_final_attn(tokens + gathered), image

    def share(
        self, image: Float[Array, "s c"], image_positions: Float[Array, "s c"]
    ) -> tuple[SharedTransformer, Shared]:
        """What all prompts of an image have in common.

        Args:
            image: Image embedding plus the dense embedding of no mask, flattened.
            image_positions: Positional encoding of the image side.

        Returns:
            What `answer` takes, and what the image sides after it are made of.
        """
        positions = image_positions.astype(self.dtype)
        shared = Shared(image.astype(self.dtype), (), jnp.zeros_like(positions[0]))
        layers = []
        for layer in self.layers:
            of_layer, shared = layer.share(shared, positions)
            layers.append(of_layer)
        final = self.final_attn_token_to_image.share(shared, positions)
        return SharedTransformer(tuple(layers), final), shared

    def answer(
        self,
        tokens: Float[Array, "p t c"],
        token_mask: Bool[Array, "p t"],
        shared: SharedTransformer,
    ) -> tuple[Float[Array, "p t c"], ImageSides]:
        """Runs the transformer for prompts of one image without mask prompts.

        The same function as the call, up to rounding; see `samjax.models.amortized.factors`.
        """
        original, mask = tokens[None].astype(self.dtype), token_mask[None]
        tokens, sides = original, None
        for layer, of_layer in zip(self.layers, shared.layers, strict=True):
            tokens, sides = layer.answer(tokens, original, mask, sides, of_layer)
        gathered = self.final_attn_token_to_image.answer(
            tokens + original, sides, shared.final
        )
        return self.norm_final_attn(tokens + gathered)[0], cast(ImageSides, sides)


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

    def __call__(self, tokens, original, token_mask, image, positions):
        tokens = self._attend_among_tokens(tokens, original, token_mask)
        tokens = self._take_in(
            tokens, self.cross_attn_token_to_image(tokens + original, image, positions)
        )
        update = self.cross_attn_image_to_token(
            image, positions, tokens + original, tokens, token_mask
        )
        return tokens, self.norm4(image + update)

    def share(
        self, shared: Shared, positions: Float[Array, "s c"]
    ) -> tuple[SharedLayer, Shared]:
        """What all prompts of an image have in common, in this layer and after it."""
        from_image = self.cross_attn_token_to_image.share(shared, positions)
        to_image = self.cross_attn_image_to_token
        queries = to_image.share(shared, positions)
        norm = self.norm4.variables["params"]
        variance, shared = add_and_normalize(
            shared,
            to_image.out_by_head(),
            to_image.out_proj.bias.astype(self.dtype),
            norm["scale"],
            norm["bias"],
        )
        return SharedLayer(from_image, queries, variance), shared

    def answer(self, tokens, original, token_mask, sides, shared):
        """The call, with what the image's prompts share and what they do not."""
        tokens = self._attend_among_tokens(tokens, original, token_mask)
        tokens = self._take_in(
            tokens,
            self.cross_attn_token_to_image.answer(
                tokens + original, sides, shared.from_image
            ),
        )
        weights, values = self.cross_attn_image_to_token.answer(
            sides, shared.queries, tokens + original, tokens, token_mask
        )
        return tokens, update(sides, shared.variance, weights, values)

    def _attend_among_tokens(self, tokens, original, token_mask):
        if self.is_first:
            # No positions and no residual: the output replaces the tokens.
            return self.norm1(self.self_attn(tokens, tokens, token_mask))
        return self.norm1(
            tokens + self.self_attn(tokens + original, tokens, token_mask)
        )

    def _take_in(self, tokens, gathered):
        tokens = self.norm2(tokens + gathered)
        return self.norm3(tokens + self.mlp(tokens))
