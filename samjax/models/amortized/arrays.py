"""The factored transformer on JAX arrays, all prompts of a call at once.

The order of axes decides the time. Positions are the last axis wherever there are many
prompts, so that softmax over tokens and sums over heads run along whole cache lines.
Heads and tokens are made one axis before a product: for products over several axes XLA
copies its operands into another order first.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from samjax.models.amortized.algebra import FactoredTransformer
from samjax.models.amortized.factors import (
    EXACT,
    ProjectedImage,
    PromptFactors,
    UpscaledImage,
)
from samjax.models.attention.token_attention import TokenToImageAttention
from samjax.models.layers import DECODER_EPSILON
from samjax.models.two_way import TwoWayTransformer


class ArrayTransformer(FactoredTransformer[Array]):
    """The algebra in JAX.

    Args:
        transformer: Bound to its parameters; its plain layers run on the tokens.
        token_mask: False where a token is absent and is not attended to.
    """

    def __init__(
        self, transformer: TwoWayTransformer, token_mask: Bool[Array, "1 p t"]
    ):
        self.transformer, self.token_mask = transformer, token_mask
        self.dtype = transformer.dtype

    def attend_among_tokens(self, index, tokens, original):
        """The plain layer's self-attention."""
        layer = self.transformer.layers[index]
        return layer.attend_among_tokens(tokens, original, self.token_mask)

    def token_queries(self, index, tokens):
        """Scaled queries "p n t d"."""
        attention = self._token_to_image(index)
        return _heads_first(
            attention.scale(attention.split_heads(attention.q_proj(tokens)))
        )

    def update_tokens(self, index, tokens, attended):
        """Output projection, then the plain layer's norms and MLP."""
        attended = self._project_out(index, attended)
        return self.transformer.layers[index].update_tokens(tokens, attended)

    def token_keys_and_values(self, index, tokens, original):
        """Scaled keys and values "p n t d"."""
        attention = self.transformer.layers[index].cross_attn_image_to_token
        keys = attention.split_heads(attention.k_proj(tokens + original))
        values = attention.split_heads(attention.v_proj(tokens))
        return _heads_first(attention.scale(keys)), _heads_first(values)

    def finish_tokens(self, tokens, attended):
        """Output projection of the final attention, residual and norm."""
        attended = self._project_out(len(self.transformer.layers), attended)
        return self.transformer.norm_final_attn(tokens + attended)

    def _token_to_image(self, index: int) -> TokenToImageAttention:
        layers = self.transformer.layers
        if index == len(layers):
            return self.transformer.final_attn_token_to_image
        return layers[index].cross_attn_token_to_image

    def _project_out(self, index: int, attended: Float[Array, "p n t d"]):
        attention = self._token_to_image(index)
        return attention.out_proj(attention.join_heads(attended.swapaxes(1, 2)))[None]

    def softmax_over_positions(self, scores):
        """Softmax along the last axis, in float32."""
        return jax.nn.softmax(scores)

    def softmax_over_tokens(self, scores):
        """Softmax along the tokens, absent ones masked, in the compute dtype."""
        scores = jnp.where(self.token_mask[0, :, None, :, None], scores, -jnp.inf)
        return jax.nn.softmax(scores, axis=2).astype(self.dtype)

    def add(self, *terms):
        """A sum, element by element."""
        return functools.reduce(operator.add, terms)

    def multiply(self, *factors):
        """A product, element by element."""
        return functools.reduce(operator.mul, factors)

    def rescale(self, x: Float[Array, "p n t s"], scale: Float[Array, "p s"]):
        """Multiplies every position with its scale, in the dtype of `x`."""
        return (x * scale[:, None, None]).astype(x.dtype)

    def inverse_deviation(self, variance):
        """Reciprocal square root of the variance plus epsilon."""
        # Rounding may leave a variance of zero slightly negative.
        return jax.lax.rsqrt(jnp.maximum(variance, 0.0) + DECODER_EPSILON)

    def multiply_positions(
        self,
        vectors: Float[Array, "p n t d"],
        image: Float[Array, "n d s"],
        exact: bool = False,
    ) -> Float[Array, "p n t s"]:
        """One product per head, in float32."""
        # Positions come out as the last axis: transposing that much costs more than the
        # product.
        prompts, heads, tokens, channels = vectors.shape
        rows = vectors.swapaxes(0, 1).reshape(heads, prompts * tokens, channels)
        products = jax.lax.dot_general(
            rows.astype(image.dtype),
            image,
            (((2,), (1,)), ((0,), (0,))),
            precision=EXACT if exact else None,
            preferred_element_type=jnp.float32,
        )
        return products.reshape(heads, prompts, tokens, -1).swapaxes(0, 1)

    def sum_weights(
        self,
        factors: Sequence[Float[Array, "p n t k u"]],
        weights: Sequence[Float[Array, "p k u s"]],
        exact: bool = False,
    ) -> Float[Array, "p n t s"]:
        """One product per layer, in float32."""
        return self.add(
            *(_combine(f, w, exact) for f, w in zip(factors, weights, strict=True))
        )

    def sum_positions(
        self, weights: Float[Array, "p n t s"], image: ProjectedImage
    ) -> Float[Array, "p n t d"]:
        """One product per head over the positions, plus the bias."""
        assert image.bias is not None
        prompts, heads, tokens, positions = weights.shape
        rows = weights.astype(image.embedding.dtype).swapaxes(0, 1)
        rows = rows.reshape(heads, prompts * tokens, positions)
        sums = jax.lax.dot_general(rows, image.embedding, (((2,), (2,)), ((0,), (0,))))
        sums = sums.reshape(heads, prompts, tokens, -1).swapaxes(0, 1)
        return sums + image.bias[None, :, None, :, 0]

    def sum_overlaps(
        self,
        weights: Float[Array, "p n t s"],
        others: Sequence[Float[Array, "p k u s"]],
        own: Sequence[Float[Array, "p k u n d"]],
    ) -> Float[Array, "p n t d"]:
        """Overlaps of attention maps, then sums of projected values."""
        weights = weights.astype(self.dtype)
        return self.add(
            *(
                jnp.einsum("pntku,pkund->pntd", _overlap(weights, other), values)
                for other, values in zip(others, own, strict=True)
            )
        )

    def sum_tokens(self, weights: Float[Array, "p n t s"], *products):
        """Sums over heads and tokens: "p s"."""
        return jnp.sum(weights * self.add(*products), axis=(1, 2))

    def sum_pixels(
        self,
        side: PromptFactors,
        own: Sequence[Float[Array, "p n t d"]],
        image: UpscaledImage,
    ) -> Float[Array, "p s d"]:
        """Writes pixels position by position: "p s d"."""
        total = side.scale[..., None] * image.embedding[None] + image.bias[None, None]
        for weights, values in zip(side.weights, own, strict=True):
            total += jnp.einsum("pnts,pntd->psd", weights, values)
        return total

    def append_ones(self, values: Float[Array, "p n t d"]) -> Float[Array, "p n t e"]:
        """Appends a channel that is one in the first head and zero in the others."""
        ones = jnp.zeros((*values.shape[:3], 1), values.dtype).at[:, 0].set(1.0)
        return jnp.concatenate([values, ones], axis=-1)

    def project_values(self, values, vectors):
        """Projected values "p k u n d"."""
        return jnp.einsum("pkue,kend->pkund", values, vectors)

    def project_to_pixels(self, values, vectors):
        """Projected values "p n t d"."""
        return jnp.einsum("pnte,ned->pntd", values, vectors)

    def multiply_values(self, vectors, own):
        """Products "p n t k u"."""
        return jnp.einsum("pkund,pntd->pntku", own, vectors)

    def multiply_pair(self, values, matrix, others):
        """Products "p n t k u", in float32 on any device."""
        return jnp.einsum(
            "pnte,nekf,pkuf->pntku",
            values.astype(jnp.float32),
            matrix,
            others.astype(jnp.float32),
            precision=EXACT,
        )


def _heads_first(x: Float[Array, "1 p t n d"]) -> Float[Array, "p n t d"]:
    return x[0].swapaxes(1, 2)


def _combine(
    factors: Float[Array, "p n t k u"], weights: Float[Array, "p k u s"], exact: bool
) -> Float[Array, "p n t s"]:
    """Sums attention maps, each multiplied by its factor, in float32."""
    dtype = jnp.float32 if exact else weights.dtype
    shape = (*factors.shape[:3], weights.shape[-1])
    factors = factors.reshape(len(factors), shape[1] * shape[2], -1).astype(dtype)
    weights = weights.reshape(len(weights), -1, shape[-1]).astype(dtype)
    total = jnp.einsum(
        "pjk,pks->pjs",
        factors,
        weights,
        precision=EXACT if exact else None,
        preferred_element_type=jnp.float32,
    )
    return total.reshape(shape)


def _overlap(
    weights: Float[Array, "p n t s"], others: Float[Array, "p k u s"]
) -> Float[Array, "p n t k u"]:
    """Sums products of attention maps over the positions."""
    flat, flat_others = (x.reshape(len(x), -1, x.shape[-1]) for x in (weights, others))
    total = jnp.einsum("pjs,pks->pjk", flat, flat_others)
    return total.reshape(*weights.shape[:3], *others.shape[1:3])
