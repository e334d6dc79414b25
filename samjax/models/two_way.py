"""The two-way transformer: prompt tokens and image embedding attend to each other.

SAM appendix A, "lightweight mask decoder". A few tokens meet thousands of image
positions, so the projections of the image side are nearly all of the cost. A product
of three matrices may be taken in either order, and each attention here takes the
cheaper one, by counting multiplications:

- *project the image*: keys, values or queries of the image once, shared by all prompt
  sets as long as the image side is (its prompt axis is 1);
- *fold*: multiply the image's projection into the few tokens instead, head by head.
  With softmax over the image the key bias cancels, and the value bias, constant over
  the sum, is added after it.

Both orders are the same function up to rounding.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from samjax.models.layers import DECODER_EPSILON, MLP, layer_norm


class TwoWayTransformer(nn.Module):
    """Layers of two-way attention and a final attention of tokens to the image.

    Attributes:
        depth: Number of layers.
        num_heads: Heads of every attention.
        mlp_dim: Hidden width of the token MLPs.
        dtype: Compute dtype; parameters are float32.
    """

    depth: int
    num_heads: int
    mlp_dim: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
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
        for i in range(self.depth):
            tokens, image = TwoWayLayer(
                is_first=i == 0,
                num_heads=self.num_heads,
                mlp_dim=self.mlp_dim,
                dtype=self.dtype,
                name=f"layers_{i}",
            )(tokens, original, token_mask, image, positions)
        channels = tokens.shape[-1]
        attention = TokenToImageAttention(
            channels, self.num_heads, 2, self.dtype, name="final_attn_token_to_image"
        )
        tokens = tokens + attention(tokens + original, image, positions)
        norm = layer_norm(DECODER_EPSILON, self.dtype, "norm_final_attn")
        return norm(tokens), image


class TwoWayLayer(nn.Module):
    """Self-attention of tokens, tokens to image, MLP on tokens, image to tokens."""

    is_first: bool
    num_heads: int
    mlp_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, tokens, original, token_mask, image, positions):
        channels = tokens.shape[-1]

        def norm(i, x):
            return layer_norm(DECODER_EPSILON, self.dtype, f"norm{i}")(x)

        attention = SelfAttention(
            channels, self.num_heads, 1, self.dtype, name="self_attn"
        )
        if self.is_first:
            # No positions and no residual: the output replaces the tokens.
            tokens = attention(tokens, tokens, token_mask)
        else:
            tokens = tokens + attention(tokens + original, tokens, token_mask)
        tokens = norm(1, tokens)

        attention = TokenToImageAttention(
            channels, self.num_heads, 2, self.dtype, name="cross_attn_token_to_image"
        )
        tokens = norm(2, tokens + attention(tokens + original, image, positions))

        mlp = MLP(self.mlp_dim, jax.nn.relu, self.dtype, name="mlp")
        tokens = norm(3, tokens + mlp(tokens))

        attention = ImageToTokenAttention(
            channels, self.num_heads, 2, self.dtype, name="cross_attn_image_to_token"
        )
        update = attention(image, positions, tokens + original, tokens, token_mask)
        return tokens, norm(4, image + update)


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
        attend = self._fold if folding < projecting else self._project
        return self.out_proj(self._join(attend(q, image, positions))).reshape(shape)

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
        attend = self._fold if folding < projecting else self._project
        return attend(image + positions, k, v, token_mask)

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
        kernel = self.out_proj.kernel.astype(self.dtype)
        kernel = kernel.reshape(self.num_heads, -1, self.channels)
        v = jnp.einsum("bptnd,ndc->bpntc", v, kernel)
        attended = jnp.einsum("bpsnt,bpntc->bpsc", weights, v)
        bias = self.out_proj.bias.astype(self.dtype)
        return attended + bias[None, None, None]


def _float32_product(equation: str, a: Array, b: Array) -> Array:
    """Attention logits: accumulated and kept in float32 in every compute dtype."""
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)
