"""The door to the amortized mask decoder: prepare an image, decode prompts over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.models.amortized.arrays import ArrayTransformer
from samjax.models.amortized.factors import (
    ImageFactors,
    PreparedImage,
    PreparedLayer,
    PromptFactors,
    add_and_normalize,
    project_keys,
    project_queries,
    project_to_pixels,
    project_values,
)
from samjax.models.attention.token_attention import TokenToImageAttention
from samjax.models.mask_decoder import MaskDecoder, MaskPrediction
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import Sam
from samjax.models.two_way import TwoWayLayer

Params = Mapping[str, Any]


@dataclass(frozen=True)
class AmortizedDecoder:
    """The mask decoder for many prompts of one image, none of them a mask prompt.

    The same function as `Sam.decode` up to rounding, at about half the cost per prompt.
    Hashable, as the model is: a static argument under `jax.jit`.

    Attributes:
        model: The model whose mask decoder it is.
    """

    model: Sam

    def prepare_image(
        self, params: Params, image_embedding: Float[Array, "gh gw c"]
    ) -> PreparedImage:
        """Computes the part of the decoder that all prompts of an image share."""

        def prepare(model: Sam, embedding: Array) -> PreparedImage:
            grid = (embedding.shape[0], embedding.shape[1])
            no_mask = model.prompt_encoder.no_mask()[0, 0]
            return prepare_decoder(
                model.mask_decoder,
                embedding.astype(jnp.float32) + no_mask,
                model.prompt_encoder.encode_grid(grid),
            )

        return cast(
            PreparedImage,
            self.model.apply({"params": params}, image_embedding, method=prepare),
        )

    def decode_prompts(
        self,
        params: Params,
        image: PreparedImage,
        prompts: PromptInputs,
        *,
        masks: slice = slice(None),
        draw_if: Callable[[Float[Array, "1 p m"]], Array] | None = None,
    ) -> MaskPrediction:
        """Predicts masks, as `Sam.decode` does for a batch of one image.

        Args:
            params: Parameters of the model.
            image: From `prepare_image`.
            prompts: In a batch of one image; no masks.
            masks: Which masks of a prompt to return; all by default.
            draw_if: From the predicted IoUs of these masks, whether to draw any. Drawing
                is half of the cost; where it is left out, logits are zeros.
        """
        variables = {"params": params}

        def attend(model: Sam, image, prompts):
            sparse, token_mask, _ = model.encode_prompts(prompts, image.grid)
            return _attend(model.mask_decoder, image, sparse, token_mask)

        def draw(tokens, side):
            logits = self.model.apply(variables, image, tokens, side, method=_draw)
            return cast(Array, logits)[:, :, masks]

        def leave_out(tokens, side):
            del side
            shape = (*scores.shape, *(4 * length for length in image.grid))
            return jnp.zeros(shape, jnp.float32)

        attended = self.model.apply(variables, image, prompts, method=attend)
        tokens, side, scores = cast(tuple[Array, PromptFactors, Array], attended)
        scores = scores[:, :, masks]
        if draw_if is None:
            return MaskPrediction(draw(tokens, side), scores)
        logits = jax.lax.cond(draw_if(scores), draw, leave_out, tokens, side)
        return MaskPrediction(logits, scores)


def prepare_decoder(
    decoder: MaskDecoder,
    image: Float[Array, "gh gw c"],
    image_positions: Float[Array, "gh gw c"],
) -> PreparedImage:
    """Computes the shared part of a bound mask decoder.

    Linear in `image` where `image_positions` are zeros, but for the squares of the
    norms: the ONNX export reads the matrices off the identity.

    Args:
        decoder: Bound to its parameters.
        image: Image embedding plus the dense embedding of no mask.
        image_positions: Positional encoding of its grid.
    """
    channels, dtype = image.shape[-1], decoder.dtype
    positions = image_positions.reshape(-1, channels).astype(dtype)
    factors = ImageFactors(
        image.reshape(-1, channels).astype(dtype), (), jnp.zeros_like(positions[0])
    )
    layers = []
    for layer in decoder.transformer.layers:
        prepared, factors = _prepare_layer(layer, factors, positions)
        layers.append(prepared)
    final = decoder.transformer.final_attn_token_to_image
    keys, values = _prepare_attention(final, factors, positions)
    upscale = decoder.output_upscaling_0
    return PreparedImage(
        layers=tuple(layers),
        final_keys=keys,
        final_values=values,
        upscaled=project_to_pixels(
            factors, upscale.flat_kernel(), jnp.tile(upscale.bias, 4).astype(dtype)
        ),
        grid=(image.shape[0], image.shape[1]),
    )


def _prepare_layer(
    layer: TwoWayLayer, image: ImageFactors, positions: Float[Array, "s c"]
) -> tuple[PreparedLayer, ImageFactors]:
    keys, values = _prepare_attention(layer.cross_attn_token_to_image, image, positions)
    attention, norm = layer.cross_attn_image_to_token, layer.norm4.variables["params"]
    queries = project_queries(
        image,
        attention.kernel_by_head(attention.q_proj),
        attention.bias_by_head(attention.q_proj),
        positions,
    )
    variance, image = add_and_normalize(
        image,
        attention.out_kernel_by_head(),
        attention.out_proj.bias.astype(layer.dtype),
        norm["scale"],
        norm["bias"],
    )
    return PreparedLayer(keys, values, queries, variance), image


def _prepare_attention(
    attention: TokenToImageAttention,
    image: ImageFactors,
    positions: Float[Array, "s c"],
):
    """Returns the shared part of the keys and of the values."""
    return (
        project_keys(image, attention.kernel_by_head(attention.k_proj), positions),
        project_values(
            image,
            attention.kernel_by_head(attention.v_proj),
            attention.bias_by_head(attention.v_proj),
        ),
    )


def _attend(
    decoder: MaskDecoder,
    image: PreparedImage,
    sparse: Float[Array, "1 p n c"],
    token_mask: Array,
) -> tuple[Array, PromptFactors, Array]:
    """Returns the mask tokens, the prompts' factors, and predicted IoUs."""
    tokens, token_mask = decoder.add_output_tokens(sparse, token_mask)
    transformer = ArrayTransformer(decoder.transformer, token_mask)
    tokens, side = transformer.run(image, tokens.astype(decoder.dtype))
    return decoder.mask_tokens_of(tokens), side, decoder.predict_iou(tokens)


def _draw(
    model: Sam, image: PreparedImage, mask_tokens: Array, side: PromptFactors
) -> Float[Array, "1 p m h w"]:
    decoder = model.mask_decoder
    # Writing pixels attends to no tokens: there is nothing to mask.
    pixels = ArrayTransformer(
        decoder.transformer, jnp.ones(mask_tokens.shape[:3], bool)
    ).write_pixels(side, image.upscaled)
    pixels = pixels.reshape(1, *pixels.shape[:2], 2, 2, -1)
    return decoder.draw(pixels, mask_tokens, image.grid)
