"""The towers of SigLIP (Zhai et al., 2023): of images, with their pooling, and texts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from samjax.models.clip.model import ClipEmbeddings, DualEncoder
from samjax.models.clip.towers import FeedForward, Transformer
from samjax.models.layers import PatchProjection, layer_norm
from samjax.models.siglip.config import SiglipConfig
from samjax.models.siglip.text_tower import EPSILON, SiglipTextTower, tanh_gelu

PIXEL_MEAN = PIXEL_STD = (0.5, 0.5, 0.5)
"""Of pixels on the scale 0..1. Images are squashed to a square, not cropped."""


class AttentionPool(nn.Module):
    """Tokens pooled by a learned query, the probe, and an MLP.

    Attributes:
        num_heads: Attention heads.
        mlp_dim: Hidden width of the MLP.
        dtype: Compute dtype; parameters are float32.
    """

    num_heads: int
    mlp_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], inside: Bool[Array, "b t"] | None = None
    ) -> Float[Array, "b c"]:
        """Pools the tokens; only those of `inside`, if it is given."""
        batch, _, width = x.shape
        probe = self.param("probe", nn.initializers.xavier_uniform(), (1, 1, width))
        # Fused in the release, although query and key come from different tokens.
        weight = self.param(
            "in_proj_weight", nn.initializers.xavier_uniform(), (3 * width, width)
        )
        bias = self.param("in_proj_bias", nn.initializers.zeros_init(), (3 * width,))
        weights = jnp.split(weight.astype(self.dtype), 3)
        biases = jnp.split(bias.astype(self.dtype), 3)
        query, key, value = (
            (tokens.astype(self.dtype) @ kernel.T + offset.reshape(1, 1, -1)).reshape(
                len(tokens), tokens.shape[1], self.num_heads, -1
            )
            for tokens, kernel, offset in zip(
                (probe, x, x), weights, biases, strict=True
            )
        )
        scores = jnp.einsum(
            "nhd,bthd->bht",
            query[0] * (width // self.num_heads) ** -0.5,
            key,
            preferred_element_type=jnp.float32,
        )
        if inside is not None:
            scores = jnp.where(inside[:, None], scores, -jnp.inf)
        shares = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        pooled = jnp.einsum("bht,bthd->bhd", shares, value).reshape(batch, 1, width)
        pooled = nn.Dense(width, dtype=self.dtype, name="out_proj")(pooled)
        mlp = FeedForward(self.mlp_dim, tanh_gelu, self.dtype, name="mlp")
        return (pooled + mlp(layer_norm(EPSILON, self.dtype, "ln")(pooled)))[:, 0]


class VisionTower(nn.Module):
    """A ViT without a class token, pooled by attention.

    Attributes:
        config: The sizes.
        dtype: Compute dtype; parameters are float32.
    """

    config: SiglipConfig
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        pixels: Float[Array, "b h w 3"],
        inside: Bool[Array, "b gh gw"] | None = None,
    ) -> Float[Array, "b e"]:
        """Embeds normalized images of the model's size."""
        config, width = self.config, self.config.vision_width
        # Pixels beyond the last whole patch are not seen, as by the release's stride.
        seen = config.grid_size * config.patch_size
        x = PatchProjection(width, config.patch_size, dtype=self.dtype, name="conv1")(
            pixels[:, :seen, :seen]
        ).reshape(len(pixels), -1, width)
        positions = self.param(
            "positional_embedding",
            nn.initializers.normal(width**-0.5),
            (config.grid_size**2, width),
        )
        x = Transformer(
            config.vision_depth,
            config.vision_heads,
            config.vision_mlp_dim,
            tanh_gelu,
            self.dtype,
            EPSILON,
            name="transformer",
        )(x + positions.astype(self.dtype)[None])
        x = layer_norm(EPSILON, self.dtype, "ln_post")(x)
        pool = AttentionPool(
            config.vision_heads, config.vision_mlp_dim, self.dtype, name="attnpool"
        )
        return pool(x, None if inside is None else inside.reshape(len(inside), -1))


class Siglip(DualEncoder):
    """The dual encoder.

    A pure function of its parameters: `model.apply({"params": params}, pixels,
    method="embed_image")` embeds images, `method="embed_text"` texts. The logit of a pair
    is `exp(logit_scale) * cosine + logit_bias`.

    Attributes:
        config: The sizes.
        dtype: Compute dtype, float32 or bfloat16; parameters are float32.
    """

    pixel_mean = PIXEL_MEAN
    pixel_std = PIXEL_STD
    reads_end = False

    config: SiglipConfig
    dtype: DTypeLike = jnp.float32

    def setup(self):
        config = self.config
        self.visual = VisionTower(config, self.dtype)
        self.text = SiglipTextTower(
            width=config.text_width,
            depth=config.text_depth,
            num_heads=config.text_heads,
            mlp_dim=config.text_mlp_dim,
            embed_dim=config.embed_dim,
            vocab_size=config.vocab_size,
            context_length=config.context_length,
            dtype=self.dtype,
        )
        # Its parts are beside `visual`, as CLIP's.
        nn.share_scope(self, self.text)
        # The initial values of the paper.
        self.logit_scale = self.param(
            "logit_scale", nn.initializers.constant(np.log(10.0)), (1,)
        )
        self.logit_bias = self.param(
            "logit_bias", nn.initializers.constant(-10.0), (1,)
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the tree of parameters that the model needs, its first keys."""
        return self.config.parts

    def __call__(
        self, pixels: Float[Array, "i h w 3"], tokens: Int[Array, "n t"]
    ) -> ClipEmbeddings:
        """Embeds images and texts, any number of each."""
        return ClipEmbeddings(self.embed_image(pixels), self.embed_text(tokens))

    def embed_image(
        self,
        pixels: Float[Array, "b h w 3"],
        inside: Bool[Array, "b gh gw"] | None = None,
    ) -> Float[Array, "b e"]:
        """Embeds square images of the model's size.

        Args:
            pixels: Normalized by `PIXEL_MEAN` and `PIXEL_STD`.
            inside: Patches that the pooling attends to, at least one of each image; None
                for all. It is to SigLIP what the masked last layer is to CLIP (SAM,
                appendix D.5).

        Returns:
            A vector per image in the joint space, not normalized.

        Raises:
            ValueError: The images have another size.
        """
        side = self.config.image_size
        if pixels.shape[1:3] != (side, side):
            raise ValueError(
                f"Got images of {pixels.shape[1]} x {pixels.shape[2]} pixels, expected "
                f"{side} x {side}: resize them."
            )
        return self.visual(pixels, inside)

    def embed_text(self, tokens: Int[Array, "b t"]) -> Float[Array, "b e"]:
        """Embeds texts.

        Args:
            tokens: Rows of `samjax.text.SiglipTokenizer`, padded to the context's
                length: padding is attended to, and the vector is read at the last
                position.

        Returns:
            A vector per text in the joint space, not normalized.

        Raises:
            ValueError: The rows are not as long as the context.
        """
        return self.text(tokens)
