"""The module and the config of the family: a convolution and a pointwise layer."""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
from jax.typing import DTypeLike

from samjax.models.config import Architecture
from samjax.models.layers import PatchProjection, gelu
from samjax.models.mask_decoder import MaskDecoder
from samjax.models.params import DECODING_PARTS
from samjax.models.prompt_encoder import PromptEncoder
from samjax.models.sam import Sam


@dataclass(frozen=True, kw_only=True)
class ConvConfig(Architecture):
    """The sizes; the family has no compute options."""

    image_size: int = 64
    patch_size: int = 8
    width: int
    prompt_embed_dim: int = 32
    num_multimask_outputs: int = 3
    decoder_heads: int = 2

    parts: ClassVar[tuple[str, ...]] = ("conv_encoder", *DECODING_PARTS)
    encoder_parts: ClassVar[tuple[str, ...]] = ("conv_encoder",)
    decoder_fields: ClassVar[tuple[str, ...]] = (
        "num_multimask_outputs",
        "decoder_heads",
    )


class ConvEncoder(nn.Module):
    """Patches to image embeddings, each by itself."""

    config: ConvConfig
    dtype: DTypeLike

    @nn.compact
    def __call__(self, pixels):
        """Encodes images."""
        size = self.config.patch_size
        stem = PatchProjection(self.config.width, size, dtype=self.dtype, name="stem")
        return nn.Dense(self.config.prompt_embed_dim, dtype=self.dtype, name="out")(
            gelu(stem(pixels))
        )


class ConvSam(Sam):
    """SAM's prompt encoder and mask decoder behind another image encoder."""

    config: ConvConfig  # type: ignore[assignment]

    def setup(self):
        config = self.config
        self.conv_encoder = ConvEncoder(config, self.dtype)
        self.prompt_encoder = PromptEncoder(config.prompt_embed_dim, 4, self.dtype)
        self.mask_decoder = MaskDecoder(
            channels=config.prompt_embed_dim,
            num_multimask_outputs=config.num_multimask_outputs,
            depth=1,
            num_heads=config.decoder_heads,
            mlp_dim=16,
            dtype=self.dtype,
        )

    def encode_image(self, pixels, *, deterministic: bool = True):
        """Embeds images."""
        del deterministic
        return self.conv_encoder(pixels)
