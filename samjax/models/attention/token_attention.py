"""The attentions of the mask decoder: among tokens, tokens to image, image to tokens.

A few tokens meet thousands of image positions, so the projections of the image side are
nearly all of the cost (SAM, appendix A). A product of three matrices may be taken in
either order, and each attention here takes the cheaper one, by counting multiplications:

- *project the image*: keys, values or queries of the image once, for all prompt sets
  together as long as they have the same image side (its prompt axis is 1);
- *fold*: multiply the image's projection into the few tokens instead, head by head.
  With softmax over the image the key bias cancels, and the value bias, constant over
  the sum, is added after it.

Both orders are the same function up to rounding. `token_to_image_costs` and
`image_to_token_costs` are the rule; `samjax.training.runtime.flops` counts by it too.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float


class Projection(nn.Module):
    """A dense layer whose kernel is accessible, for products in another order."""

    features_in: int
    features_out: int
    dtype: DTypeLike

    def setup(self):
        self.kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(),
            (self.features_in, self.features_out),
        )
        self.bias = self.param(
            "bias", nn.initializers.zeros_init(), (self.features_out,)
        )

    def __call__(self, x: Float[Array, "*s c"]) -> Float[Array, "*s e"]:
        bias = self.bias.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
        return x @ self.kernel.astype(self.dtype) + bias


class _MultiHead(nn.Module):
    """The four projections of an attention of the decoder.

    Attributes:
        channels: Channels of tokens and image.
        num_heads: Attention heads.
        downsample_rate: The inner width is the channels over this.
        dtype: Compute dtype.
    """

    channels: int
    num_heads: int
    downsample_rate: int
    dtype: DTypeLike

    def setup(self):
        inner = self.channels // self.downsample_rate
        self.q_proj = Projection(self.channels, inner, self.dtype)
        self.k_proj = Projection(self.channels, inner, self.dtype)
        self.v_proj = Projection(self.channels, inner, self.dtype)
        self.out_proj = Projection(inner, self.channels, self.dtype)

    def split_heads(self, x: Float[Array, "*s e"]) -> Float[Array, "*s n d"]:
        """Splits the last axis into heads and their channels."""
        return x.reshape(*x.shape[:-1], self.num_heads, -1)

    def join_heads(self, x: Float[Array, "*s n d"]) -> Float[Array, "*s e"]:
        """Joins heads and their channels into one axis."""
        return x.reshape(*x.shape[:-2], -1)

    def scale(self, query: Float[Array, "*s n d"]) -> Float[Array, "*s n d"]:
        """Divides queries, or keys instead, by the root of a head's width."""
        return query * query.shape[-1] ** -0.5

    def kernel_by_head(self, projection: Projection) -> Float[Array, "c n d"]:
        """The kernel of the query, key or value projection."""
        return self.split_heads(projection.kernel.astype(self.dtype))

    def bias_by_head(self, projection: Projection) -> Float[Array, "n d"]:
        """The bias of the query, key or value projection."""
        return self.split_heads(projection.bias.astype(self.dtype))

    def out_kernel_by_head(self) -> Float[Array, "n d c"]:
        """The kernel of the output projection."""
        kernel = self.out_proj.kernel.astype(self.dtype)
        return kernel.reshape(self.num_heads, -1, self.channels)


class SelfAttention(_MultiHead):
    """Tokens of a prompt set attend to each other."""

    def __call__(
        self,
        query: Float[Array, "b p t c"],
        value: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
    ) -> Float[Array, "b p t c"]:
        """Attends from `query` (which are the keys too) to `value`."""
        q = self.scale(self.split_heads(self.q_proj(query)))
        k = self.split_heads(self.k_proj(query))
        v = self.split_heads(self.v_proj(value))
        logits = _float32_product("bpqnd,bpknd->bpnqk", q, k)
        logits = jnp.where(token_mask[:, :, None, None, :], logits, -jnp.inf)
        weights = jax.nn.softmax(logits).astype(self.dtype)
        attended = jnp.einsum("bpnqk,bpknd->bpqnd", weights, v)
        return self.out_proj(self.join_heads(attended))


class TokenToImageAttention(_MultiHead):
    """Tokens attend to the image."""

    def __call__(
        self,
        query: Float[Array, "b p t c"],
        image: Float[Array, "b i s c"],
        positions: Float[Array, "1 1 s c"],
    ) -> Float[Array, "b p t c"]:
        """Attends to keys `image + positions` and values `image`."""
        shape = query.shape
        if image.shape[1] == 1:
            # Queries do not interact: those of all prompt sets are one list.
            query = query.reshape(shape[0], 1, -1, shape[-1])
        q = self.scale(self.split_heads(self.q_proj(query)))
        folding, projecting = token_to_image_costs(
            self.channels, q.shape[-2] * q.shape[-1], self.num_heads, query.shape[2]
        )
        attend = self._fold if _is_less(folding, projecting) else self._project
        return self.out_proj(self.join_heads(attend(q, image, positions))).reshape(
            shape
        )

    def _project(self, q, image, positions):
        k = self.split_heads(self.k_proj(image + positions))
        v = self.split_heads(self.v_proj(image))
        logits = _float32_product("bptnd,bpsnd->bpnts", q, k)
        weights = jax.nn.softmax(logits).astype(self.dtype)
        return jnp.einsum("bpnts,bpsnd->bptnd", weights, v)

    def _fold(self, q, image, positions):
        q = jnp.einsum("bptnd,cnd->bpntc", q, self.kernel_by_head(self.k_proj))
        # Image first in the product: only its result, the logits, is transposed.
        logits = _float32_product("bpsc,bpntc->bpsnt", image + positions, q)
        weights = jax.nn.softmax(jnp.moveaxis(logits, 2, -1)).astype(self.dtype)
        gathered = jnp.einsum("bpnts,bpsc->bpntc", weights, image)
        attended = jnp.einsum(
            "bpntc,cnd->bptnd", gathered, self.kernel_by_head(self.v_proj)
        )
        bias = self.bias_by_head(self.v_proj)
        return attended + bias[None, None, None]


class ImageToTokenAttention(_MultiHead):
    """Every image position attends to the tokens of its prompt set."""

    def __call__(
        self,
        image: Float[Array, "b i s c"],
        positions: Float[Array, "1 1 s c"],
        key: Float[Array, "b p t c"],
        value: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
    ) -> Float[Array, "b p s c"]:
        """Attends from `image + positions` to `key` and `value`."""
        k = self.split_heads(self.k_proj(key))
        v = self.split_heads(self.v_proj(value))
        _, prompts, tokens, _ = key.shape
        folding, projecting = image_to_token_costs(
            self.channels,
            k.shape[-2] * k.shape[-1],
            self.num_heads,
            image.shape[1],
            prompts,
            tokens,
        )
        attend = self._fold if _is_less(folding, projecting) else self._project
        return attend(image + positions, k, v, token_mask)

    def _project(self, image, k, v, token_mask):
        q = self.scale(self.split_heads(self.q_proj(image)))
        if q.shape[1] == 1:
            logits = _float32_product("bsnd,bptnd->bpnts", q[:, 0], k)
        else:
            logits = _float32_product("bpsnd,bptnd->bpnts", q, k)
        logits = jnp.where(token_mask[:, :, None, :, None], logits, -jnp.inf)
        weights = jax.nn.softmax(logits, axis=-2).astype(self.dtype)
        attended = jnp.einsum("bpnts,bptnd->bpsnd", weights, v)
        return self.out_proj(self.join_heads(attended))

    def _fold(self, image, k, v, token_mask):
        k = self.scale(k)
        bias = jnp.einsum("bptnd,nd->bpnt", k, self.split_heads(self.q_proj.bias))
        k = jnp.einsum("bptnd,cnd->bpntc", k, self.kernel_by_head(self.q_proj))
        if image.shape[1] == k.shape[1]:
            logits = _float32_product("bpsc,bpntc->bpsnt", image, k)
        else:
            logits = _float32_product("bsc,bpntc->bpsnt", image[:, 0], k)
        logits = jnp.where(
            token_mask[:, :, None, None], logits + bias[:, :, None], -jnp.inf
        )
        weights = jax.nn.softmax(logits).astype(self.dtype)
        v = jnp.einsum("bptnd,ndc->bpntc", v, self.out_kernel_by_head())
        attended = jnp.einsum("bpsnt,bpntc->bpsc", weights, v)
        bias = self.out_proj.bias.astype(self.dtype)
        return attended + bias[None, None, None]


def token_to_image_costs(
    channels: int, inner: int, heads: int, queries: Any
) -> tuple[Any, Any]:
    """Counts multiplications per image position of attention from tokens to the image.

    Args:
        channels: Channels of tokens and image.
        inner: Channels of the keys, all heads together.
        heads: Attention heads.
        queries: Tokens that attend to one image side; may be symbolic.

    Returns:
        For folding the image's projections into the tokens, and for projecting it.
    """
    return 2 * heads * queries * channels, 2 * channels * inner + 2 * queries * inner


def image_to_token_costs(
    channels: int, inner: int, heads: int, images: Any, prompts: Any, tokens: Any
) -> tuple[Any, Any]:
    """Counts multiplications per image position of attention from image to tokens.

    Args:
        channels: Channels of tokens and image.
        inner: Channels of the queries, all heads together.
        heads: Attention heads.
        images: Image sides before the layer: 1 for all prompt sets, or one for each.
        prompts: Prompt sets.
        tokens: Tokens of a prompt set; sizes may be symbolic.

    Returns:
        For folding the image's projections into the tokens, and for projecting it.
    """
    projecting = images * channels * inner + prompts * inner * (2 * tokens + channels)
    return 2 * prompts * heads * tokens * channels, projecting


def _float32_product(equation: str, a: Array, b: Array) -> Array:
    """Attention logits: accumulated and kept in float32 in every compute dtype."""
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _is_less(folding: Any, projecting: Any) -> bool:
    """Compares costs; sizes that are symbolic are taken to be few tokens."""
    if jax.export.is_symbolic_dim(folding - projecting):
        return True
    return folding < projecting
