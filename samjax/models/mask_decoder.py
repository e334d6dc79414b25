"""The mask decoder: output tokens, the two-way transformer, upscaling, heads.

SAM section 3 and appendix A. One output token is for the predicted IoUs, one for the
single mask of an unambiguous prompt, three for the whole, part and subpart of an
ambiguous one. Every mask token becomes, through its own small MLP (a hypernetwork), a linear
classifier over the upscaled image side.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from samjax.models.attention.token_attention import Projection
from samjax.models.layers import ENCODER_EPSILON, gelu, layer_norm
from samjax.models.prompt_encoder import PromptEmbeddings
from samjax.models.two_way import TwoWayTransformer


class MaskPrediction(NamedTuple):
    """All masks of every prompt set; index 0 is the single mask, the rest the three.

    Which of them count is the caller's rule (SAM section 3, "resolving ambiguity"):
    `[1:]` for a single ambiguous prompt, `[:1]` for several prompts.

    Attributes:
        low_res_logits: Float32 "b p m 4*gh 4*gw", at a quarter of the model input's
            resolution; a pixel is in the mask where its logit is above 0.
        iou_predictions: Float32 "b p m", the predicted IoU of each mask. There is no
            sigmoid: values above 1 occur.
    """

    low_res_logits: Array
    iou_predictions: Array


class MaskDecoder(nn.Module):
    """Decodes masks from an image embedding and embedded prompts.

    For many prompts of one image, none of them a mask, `samjax.models.amortized` has
    the same function at about half the cost.

    Attributes:
        channels: Channels of the image embedding and the tokens.
        num_multimask_outputs: Masks for an ambiguous prompt, beside the single one.
        depth: Layers of the two-way transformer.
        num_heads: Its attention heads.
        mlp_dim: Hidden width of its MLPs.
        dtype: Compute dtype. Mask logits and IoU scores are float32 always.
    """

    channels: int
    num_multimask_outputs: int
    depth: int
    num_heads: int
    mlp_dim: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        channels, num_masks = self.channels, self.num_multimask_outputs + 1
        normal = nn.initializers.normal(1.0)
        self.iou_token = nn.Embed(1, channels, embedding_init=normal)
        self.mask_tokens = nn.Embed(num_masks, channels, embedding_init=normal)
        self.transformer = TwoWayTransformer(
            channels, self.depth, self.num_heads, self.mlp_dim, self.dtype
        )
        self.iou_prediction_head = HeadMLP((channels, channels, num_masks), jnp.float32)
        self.output_upscaling_0 = SubpixelUpscale(channels, channels // 4, self.dtype)
        self.output_upscaling_1 = layer_norm(ENCODER_EPSILON, self.dtype)
        self.output_upscaling_3 = SubpixelUpscale(
            channels // 4, channels // 8, self.dtype
        )
        self.output_hypernetworks_mlps = [
            HeadMLP((channels, channels, channels // 8), self.dtype)
            for _ in range(num_masks)
        ]

    def __call__(
        self,
        image_embeddings: Float[Array, "b gh gw c"],
        image_positions: Float[Array, "gh gw c"],
        prompts: PromptEmbeddings,
    ) -> MaskPrediction:
        """Predicts all masks of every prompt set, and their IoUs."""
        _, height, width, channels = image_embeddings.shape
        sparse, token_mask, dense = prompts
        tokens, token_mask = self.add_output_tokens(sparse, token_mask)
        image = image_embeddings[:, None].astype(jnp.float32) + dense
        tokens, image = self.transformer(
            tokens,
            token_mask,
            image.reshape(*image.shape[:2], -1, channels),
            image_positions.reshape(-1, channels),
        )
        pixels = self.output_upscaling_0(image)
        return MaskPrediction(
            low_res_logits=self.draw(
                pixels, self.mask_tokens_of(tokens), (height, width)
            ),
            iou_predictions=self.predict_iou(tokens),
        )

    def add_output_tokens(
        self, sparse: Float[Array, "b p n c"], token_mask: Bool[Array, "b p n"]
    ) -> tuple[Float[Array, "b p t c"], Bool[Array, "b p t"]]:
        """Puts the tokens of the IoUs and the masks before those of the prompts."""
        output_tokens = jnp.concatenate(
            [self.iou_token.embedding, self.mask_tokens.embedding]
        )
        outputs = jnp.broadcast_to(
            output_tokens[None, None], (*sparse.shape[:2], *output_tokens.shape)
        )
        always = jnp.ones(outputs.shape[:-1], bool)
        return (
            jnp.concatenate([outputs, sparse.astype(outputs.dtype)], axis=2),
            jnp.concatenate([always, token_mask], axis=2),
        )

    def mask_tokens_of(
        self, tokens: Float[Array, "b p t c"]
    ) -> Float[Array, "b p m c"]:
        """Selects the output token of each mask."""
        return tokens[:, :, 1 : 2 + self.num_multimask_outputs]

    def predict_iou(self, tokens: Float[Array, "b p t c"]) -> Float[Array, "b p m"]:
        """Predicts the IoU of each mask from the first output token."""
        return self.iou_prediction_head(tokens[:, :, 0].astype(jnp.float32))

    def draw(
        self,
        pixels: Float[Array, "b p s 2 2 e"],
        mask_tokens: Float[Array, "b p m c"],
        grid: tuple[int, int],
    ) -> Float[Array, "b p m h w"]:
        """Finishes upscaling after its first step, and classifies every pixel.

        Norms and activations act on each pixel alone, so that pixels are put in
        row-major order once, at the end, when they are few numbers.

        Args:
            pixels: Output of `output_upscaling_0`: 2 x 2 pixels for every position.
            mask_tokens: The output token of each mask.
            grid: Height and width of the image embedding.

        Returns:
            Low-res logits of all masks.
        """
        features = gelu(self.output_upscaling_1(pixels))
        features = gelu(self.output_upscaling_3(features))
        classifiers = [
            mlp(mask_tokens[:, :, i])
            for i, mlp in enumerate(self.output_hypernetworks_mlps)
        ]
        logits = jnp.einsum(
            "bpsijklc,bpmc->bpsijklm",
            features.astype(jnp.float32),
            jnp.stack(classifiers, axis=2).astype(jnp.float32),
        )
        return arrange_pixels(jnp.moveaxis(logits, -1, 2), *grid)


class SubpixelUpscale(nn.Module):
    """A transposed convolution of kernel 2 and stride 2, without the final shuffle.

    With the stride equal to the kernel it is a matrix product from a position to its
    2 x 2 pixels. The kernel is (in, 2, 2, out): row and column of the pixel within its
    position.
    """

    features_in: int
    features: int
    dtype: DTypeLike

    def setup(self):
        self.kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(in_axis=0, out_axis=-1, batch_axis=(1, 2)),
            (self.features_in, 2, 2, self.features),
        )
        self.bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))

    def __call__(self, x: Float[Array, "*s c"]) -> Float[Array, "*s 2 2 f"]:
        y = (x @ self.flat_kernel()).reshape(*x.shape[:-1], 2, 2, self.features)
        return y + self.bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))

    def flat_kernel(self) -> Float[Array, "c e"]:
        """As a matrix to the four pixels of a position, one after the other."""
        return self.kernel.reshape(self.features_in, -1).astype(self.dtype)


class HeadMLP(nn.Module):
    """Three dense layers with ReLU between them (`layers_0` to `layers_2`)."""

    features: tuple[int, int, int]
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "*s c"]) -> Float[Array, "*s e"]:
        for i, width in enumerate(self.features):
            x = Projection(x.shape[-1], width, self.dtype, name=f"layers_{i}")(x)
            if i < len(self.features) - 1:
                x = jax.nn.relu(x)
        return x


def arrange_pixels(
    grouped: Float[Array, "b p m s i j k l"], height: int, width: int
) -> Float[Array, "b p m h w"]:
    """Puts pixels grouped by position (twice 2 x 2 each) into row-major order."""
    leading = grouped.shape[:3]
    pixels = grouped.reshape(*leading, height, width, 2, 2, 2, 2)
    pixels = pixels.transpose(0, 1, 2, 3, 5, 7, 4, 6, 8)
    return pixels.reshape(*leading, 4 * height, 4 * width)
