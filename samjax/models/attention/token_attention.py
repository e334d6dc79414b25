"""The attentions of the mask decoder: among tokens, tokens to image, image to tokens.

A few tokens meet thousands of image positions, so the projections of the image side are
nearly all of the cost (SAM, appendix A). A product of three matrices may be taken in
either order, and each attention here takes the cheaper one, by counting multiplications:

- *project the image*: keys, values or queries of the image once, shared by all prompt
  sets as long as the image side is (its prompt axis is 1);
- *fold*: multiply the image's projection into the few tokens instead, head by head.
  With softmax over the image the key bias cancels, and the value bias, constant over
  the sum, is added after it.

Both orders are the same function up to rounding. So is `answer`, for prompts that share
their image all the way (`samjax.models.amortized.factors`).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from samjax.models.amortized.factors import (
    ImageSides,
    Reading,
    Shared,
    gather,
    read,
    scores,
)


class Projection(nn.Module):
    """A dense layer whose kernel can be read, to be multiplied in another order."""

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
    """The four projections that every attention of the decoder has.

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

    def _split(self, x: Float[Array, "*s e"]) -> Float[Array, "*s n d"]:
        return x.reshape(*x.shape[:-1], self.num_heads, -1)

    def _join(self, x: Float[Array, "*s n d"]) -> Float[Array, "*s e"]:
        return x.reshape(*x.shape[:-2], -1)

    def _by_head(self, projection: Projection) -> Float[Array, "c n d"]:
        return self._split(projection.kernel.astype(self.dtype))

    def _read(
        self,
        shared: Shared,
        projection: Projection,
        positions: Float[Array, "s c"] | None = None,
    ) -> Reading:
        bias = self._split(projection.bias.astype(self.dtype))
        return read(shared, self._by_head(projection), bias, positions)

    def _scaled(self, query: Float[Array, "*s n d"]) -> Float[Array, "*s n d"]:
        return query * query.shape[-1] ** -0.5


class SelfAttention(_MultiHead):
    """Tokens to tokens."""

    def __call__(
        self,
        query: Float[Array, "b p t c"],
        value: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
    ) -> Float[Array, "b p t c"]:
        """Attends from `query` (which are the keys too) to `value`."""
        q = self._scaled(self._split(self.q_proj(query)))
        k = self._split(self.k_proj(query))
        v = self._split(self.v_proj(value))
        logits = _float32_product("bpqnd,bpknd->bpnqk", q, k)
        logits = jnp.where(token_mask[:, :, None, None, :], logits, -jnp.inf)
        weights = jax.nn.softmax(logits).astype(self.dtype)
        attended = jnp.einsum("bpnqk,bpknd->bpqnd", weights, v)
        return self.out_proj(self._join(attended))


class TokenToImageAttention(_MultiHead):
    """Tokens gather from the image."""

    def __call__(
        self,
        query: Float[Array, "b p t c"],
        image: Float[Array, "b i s c"],
        positions: Float[Array, "1 1 s c"],
    ) -> Float[Array, "b p t c"]:
        """Attends to keys `image + positions` and values `image`."""
        shape = query.shape
        if image.shape[1] == 1:
            # Queries do not see each other: those of all prompt sets are one list.
            query = query.reshape(shape[0], 1, -1, shape[-1])
        q = self._scaled(self._split(self.q_proj(query)))
        tokens, inner = query.shape[2], q.shape[-2] * q.shape[-1]
        projecting = 2 * self.channels * inner + 2 * tokens * inner
        folding = 2 * self.num_heads * tokens * self.channels
        attend = self._fold if _is_less(folding, projecting) else self._project
        return self.out_proj(self._join(attend(q, image, positions))).reshape(shape)

    def share(
        self, shared: Shared, positions: Float[Array, "s c"]
    ) -> tuple[Reading, Reading]:
        """Keys and values, of what all prompts of an image have in common."""
        return (
            self._read(shared, self.k_proj, positions),
            self._read(shared, self.v_proj),
        )

    def answer(
        self,
        query: Float[Array, "1 p t c"],
        sides: ImageSides | None,
        shared: tuple[Reading, Reading],
    ) -> Float[Array, "1 p t c"]:
        """The call, with what the image's prompts share and what they do not."""
        keys, values = shared
        q = self._scaled(self._split(self.q_proj(query)))[0].swapaxes(1, 2)
        weights = jax.nn.softmax(scores(sides, keys, q))
        attended = gather(sides, values, weights).swapaxes(1, 2)
        return self.out_proj(self._join(attended))[None]

    def _project(self, q, image, positions):
        k = self._split(self.k_proj(image + positions))
        v = self._split(self.v_proj(image))
        logits = _float32_product("bptnd,bpsnd->bpnts", q, k)
        weights = jax.nn.softmax(logits).astype(self.dtype)
        return jnp.einsum("bpnts,bpsnd->bptnd", weights, v)

    def _fold(self, q, image, positions):
        q = jnp.einsum("bptnd,cnd->bpntc", q, self._by_head(self.k_proj))
        # Image first: what is put in another order afterwards is the few logits.
        logits = _float32_product("bpsc,bpntc->bpsnt", image + positions, q)
        weights = jax.nn.softmax(jnp.moveaxis(logits, 2, -1)).astype(self.dtype)
        gathered = jnp.einsum("bpnts,bpsc->bpntc", weights, image)
        attended = jnp.einsum("bpntc,cnd->bptnd", gathered, self._by_head(self.v_proj))
        bias = self._split(self.v_proj.bias.astype(self.dtype))
        return attended + bias[None, None, None]


class ImageToTokenAttention(_MultiHead):
    """Every image position gathers from the tokens of its prompt set."""

    def __call__(
        self,
        image: Float[Array, "b i s c"],
        positions: Float[Array, "1 1 s c"],
        key: Float[Array, "b p t c"],
        value: Float[Array, "b p t c"],
        token_mask: Bool[Array, "b p t"],
    ) -> Float[Array, "b p s c"]:
        """Attends from `image + positions` to `key` and `value`."""
        k = self._split(self.k_proj(key))
        v = self._split(self.v_proj(value))
        (_, prompts, tokens, _), inner = key.shape, k.shape[-2] * k.shape[-1]
        projecting = image.shape[1] * self.channels * inner + prompts * inner * (
            2 * tokens + self.channels
        )
        folding = 2 * prompts * self.num_heads * tokens * self.channels
        attend = self._fold if _is_less(folding, projecting) else self._project
        return attend(image + positions, k, v, token_mask)

    def share(self, shared: Shared, positions: Float[Array, "s c"]) -> Reading:
        """Queries, of what all prompts of an image have in common."""
        return self._read(shared, self.q_proj, positions)

    def answer(
        self,
        sides: ImageSides | None,
        queries: Reading,
        key: Float[Array, "1 p t c"],
        value: Float[Array, "1 p t c"],
        token_mask: Bool[Array, "1 p t"],
    ) -> tuple[Float[Array, "p n t s"], Float[Array, "p n t d"]]:
        """Attention weights and values, whose sums the output projection takes."""
        k = self._scaled(self._split(self.k_proj(key)))[0].swapaxes(1, 2)
        v = self._split(self.v_proj(value))[0].swapaxes(1, 2)
        logits = scores(sides, queries, k)
        logits = jnp.where(token_mask[0, :, None, :, None], logits, -jnp.inf)
        return jax.nn.softmax(logits, axis=2).astype(self.dtype), v

    def out_by_head(self) -> Float[Array, "n d c"]:
        """The kernel of the output projection."""
        kernel = self.out_proj.kernel.astype(self.dtype)
        return kernel.reshape(self.num_heads, -1, self.channels)

    def _project(self, image, k, v, token_mask):
        q = self._scaled(self._split(self.q_proj(image)))
        if q.shape[1] == 1:
            logits = _float32_product("bsnd,bptnd->bpnts", q[:, 0], k)
        else:
            logits = _float32_product("bpsnd,bptnd->bpnts", q, k)
        logits = jnp.where(token_mask[:, :, None, :, None], logits, -jnp.inf)
        weights = jax.nn.softmax(logits, axis=-2).astype(self.dtype)
        attended = jnp.einsum("bpnts,bptnd->bpsnd", weights, v)
        return self.out_proj(self._join(attended))

    def _fold(self, image, k, v, token_mask):
        k = self._scaled(k)
        bias = jnp.einsum("bptnd,nd->bpnt", k, self._split(self.q_proj.bias))
        k = jnp.einsum("bptnd,cnd->bpntc", k, self._by_head(self.q_proj))
        if image.shape[1] == k.shape[1]:
            logits = _float32_product("bpsc,bpntc->bpsnt", image, k)
        else:
            logits = _float32_product("bsc,bpntc->bpsnt", image[:, 0], k)
        logits = jnp.where(
            token_mask[:, :, None, None], logits + bias[:, :, None], -jnp.inf
        )
        weights = jax.nn.softmax(logits).astype(self.dtype)
        v = jnp.einsum("bptnd,ndc->bpntc", v, self.out_by_head())
        attended = jnp.einsum("bpsnt,bpntc->bpsc", weights, v)
        bias = self.out_proj.bias.astype(self.dtype)
        return attended + bias[None, None, None]


def _float32_product(equation: str, a: Array, b: Array) -> Array:
    """Attention logits: accumulated and kept in float32 in every compute dtype."""
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _is_less(folding: Any, projecting: Any) -> bool:
    """Compares numbers of multiplications; of sizes yet unknown tokens are few."""
    if jax.export.is_symbolic_dim(folding - projecting):
        return True
    return folding < projecting
