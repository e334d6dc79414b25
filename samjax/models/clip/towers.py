"""The vision tower of CLIP, and the transformer that both towers have."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from samjax.models.clip.config import ClipConfig
from samjax.models.layers import PatchProjection, gelu, layer_norm

# PyTorch's default, in both towers.
EPSILON = 1e-5
Activation = Callable[[Array], Array]


def quick_gelu(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The approximation of GELU that OpenAI's models were trained with."""
    return x * jax.nn.sigmoid(1.702 * x)


def activation_of(quick: bool) -> Activation:
    """Returns the activation of CLIP's MLPs: the quick GELU, or the exact one."""
    return quick_gelu if quick else gelu


class Attention(nn.Module):
    """Multi-head attention with fused projections in the layout of the release.

    Attributes:
        num_heads: Attention heads.
        dtype: Compute dtype; parameters are float32.
    """

    num_heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], mask: Bool[Array, "#b t t"] | None = None
    ) -> Float[Array, "b t c"]:
        """Attends among tokens; a query attends to keys where `mask` is true."""
        batch, tokens, width = x.shape
        weight = self.param(
            "in_proj_weight", nn.initializers.xavier_uniform(), (3 * width, width)
        )
        bias = self.param("in_proj_bias", nn.initializers.zeros_init(), (3 * width,))
        projected = x @ weight.T.astype(self.dtype)
        projected = projected + bias.astype(self.dtype).reshape(1, 1, -1)
        heads = projected.reshape(batch, tokens, 3, self.num_heads, -1)
        query, key, value = heads[:, :, 0], heads[:, :, 1], heads[:, :, 2]
        query = query * (width // self.num_heads) ** -0.5
        scores = jnp.einsum(
            "bqnd,bknd->bnqk", query, key, preferred_element_type=jnp.float32
        )
        if mask is not None:
            scores = jnp.where(mask[:, None], scores, -jnp.inf)
        shares = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        x = jnp.einsum("bnqk,bknd->bqnd", shares, value).reshape(batch, tokens, width)
        return nn.Dense(width, dtype=self.dtype, name="out_proj")(x)


class FeedForward(nn.Module):
    """Two dense layers (`c_fc`, `c_proj`) with an activation between them.

    Attributes:
        hidden_dim: Width between the layers.
        activation: Applied between them.
        dtype: Compute dtype; parameters are float32.
    """

    hidden_dim: int
    activation: Activation
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        hidden = nn.Dense(self.hidden_dim, dtype=self.dtype, name="c_fc")(x)
        hidden = self.activation(hidden)
        return nn.Dense(x.shape[-1], dtype=self.dtype, name="c_proj")(hidden)


class Block(nn.Module):
    """A residual block: attention, then the MLP, each after a norm.

    Attributes:
        num_heads: Attention heads.
        mlp_dim: Hidden width of the MLP.
        activation: That of the MLP.
        dtype: Compute dtype; parameters are float32.
        epsilon: That of the norms.
    """

    num_heads: int
    mlp_dim: int
    activation: Activation
    dtype: DTypeLike
    epsilon: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], mask: Bool[Array, "#b t t"] | None = None
    ) -> Float[Array, "b t c"]:
        attention = Attention(self.num_heads, self.dtype, name="attn")
        x = x + attention(layer_norm(self.epsilon, self.dtype, "ln_1")(x), mask)
        mlp = FeedForward(self.mlp_dim, self.activation, self.dtype, name="mlp")
        return x + mlp(layer_norm(self.epsilon, self.dtype, "ln_2")(x))


class Transformer(nn.Module):
    """Residual blocks one after another.

    Attributes:
        depth: Blocks.
        num_heads: Attention heads of a block.
        mlp_dim: Hidden width of its MLP.
        activation: That of the MLP.
        dtype: Compute dtype; parameters are float32.
        epsilon: That of the norms.
    """

    depth: int
    num_heads: int
    mlp_dim: int
    activation: Activation
    dtype: DTypeLike
    epsilon: float = EPSILON

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t c"],
        mask: Bool[Array, "#b t t"] | None = None,
        last_mask: Bool[Array, "#b t t"] | None = None,
    ) -> Float[Array, "b t c"]:
        """Applies all blocks; the last one with a mask of its own, if it is given."""
        for i in range(self.depth):
            if i == self.depth - 1 and last_mask is not None:
                mask = last_mask
            x = Block(
                self.num_heads,
                self.mlp_dim,
                self.activation,
                self.dtype,
                self.epsilon,
                name=f"resblocks_{i}",
            )(x, mask)
        return x


class VisionTower(nn.Module):
    """A ViT whose class token is projected into the joint space.

    Attributes:
        config: The sizes.
        dtype: Compute dtype; parameters are float32.
    """

    config: ClipConfig
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        pixels: Float[Array, "b h w 3"],
        inside: Bool[Array, "b gh gw"] | None = None,
        *,
        pooled: bool = True,
    ) -> Float[Array, "b *t e"]:
        """Embeds normalized images of the model's size.

        Args:
            pixels: The images.
            inside: Patches that the class token attends to in the last block, at least
                one of each image; None for all, and the class token itself.
            pooled: Whether to return the class token in the joint space, or all tokens
                after the last norm, the class token first.
        """
        config, width = self.config, self.config.vision_width
        normal = nn.initializers.normal(width**-0.5)
        patches = PatchProjection(
            width, config.patch_size, use_bias=False, dtype=self.dtype, name="conv1"
        )(pixels)
        patches = patches.reshape(len(pixels), -1, width)
        token = self.param("class_embedding", normal, (width,)).astype(self.dtype)
        token = jnp.broadcast_to(token.reshape(1, 1, -1), (len(pixels), 1, width))
        positions = self.param(
            "positional_embedding", normal, (config.grid_size**2 + 1, width)
        )
        x = jnp.concatenate([token, patches], axis=1)
        x = x + positions.astype(self.dtype)[None]
        x = layer_norm(EPSILON, self.dtype, "ln_pre")(x)
        x = Transformer(
            config.vision_depth,
            config.vision_heads,
            config.vision_mlp_dim,
            activation_of(config.quick_gelu),
            self.dtype,
            name="transformer",
        )(x, None, None if inside is None else _class_token_mask(inside))
        x = layer_norm(EPSILON, self.dtype, "ln_post")(x[:, 0] if pooled else x)
        projection = self.param("proj", normal, (width, config.embed_dim))
        return x @ projection.astype(self.dtype) if pooled else x


def _class_token_mask(inside: Bool[Array, "b gh gw"]) -> Bool[Array, "b t t"]:
    """Returns which tokens attend to which: only the class token is restricted."""
    row = jnp.pad(inside.reshape(len(inside), -1), ((0, 0), (1, 0)))
    tokens = row.shape[1]
    others = jnp.ones((len(row), tokens - 1, tokens), bool)
    return jnp.concatenate([row[:, None], others], axis=1)
