"""The sizes of CLIP, and those of the published models."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from samjax.models.config import Architecture
from samjax.models.params import TEXT_TOWER


@dataclass(frozen=True, kw_only=True)
class DualEncoderConfig(Architecture):
    """The sizes of a vision tower and a text tower, such as those of CLIP and SigLIP.

    Attributes:
        image_size: Side of the square input in pixels.
        patch_size: Side of a patch in pixels.
        vision_width: Channels of the vision tower's tokens.
        vision_depth: Blocks of the vision tower.
        vision_heads: Attention heads of a block of it, which no shape shows.
        vision_mlp_dim: Hidden width of its MLPs.
        text_width: Channels of the text tower's tokens.
        text_depth: Blocks of the text tower.
        text_heads: Attention heads of a block of it, which no shape shows.
        text_mlp_dim: Hidden width of its MLPs.
        vocab_size: Tokens of the vocabulary.
        context_length: The most tokens of a text, those of start and end included.
        text_parts: Parts of the tree of parameters that are the text tower's.
        multiples: Sizes that have to be multiples of others.
    """

    image_size: int = 224
    vision_width: int
    vision_depth: int
    vision_heads: int
    vision_mlp_dim: int
    text_width: int
    text_depth: int
    text_heads: int
    text_mlp_dim: int
    vocab_size: int
    context_length: int

    encoder_parts: ClassVar[tuple[str, ...]] = ("visual",)
    decoder_fields: ClassVar[tuple[str, ...]] = (
        "text_width",
        "text_depth",
        "text_heads",
        "text_mlp_dim",
        "vocab_size",
        "context_length",
    )
    text_parts: ClassVar[tuple[str, ...]] = ()
    multiples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("vision_width", "vision_heads"),
        ("text_width", "text_heads"),
    )

    @property
    def num_repeats(self) -> int:
        """The most times that a module is repeated; the tensors are at least as many."""
        return max(self.vision_depth, self.text_depth)

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes."""
        problems = super().problems()
        if problems:
            return problems
        return [
            f"{dividend} is {getattr(self, dividend)}, expected a multiple of {divisor}, "
            f"{getattr(self, divisor)}"
            for dividend, divisor in self.multiples
            if getattr(self, dividend) % getattr(self, divisor)
        ]


@dataclass(frozen=True, kw_only=True)
class ClipConfig(DualEncoderConfig):
    """All that the parameters of CLIP and their meaning depend on.

    Attributes:
        embed_dim: Width of the space that images and texts share.
        quick_gelu: Whether the MLPs have `x * sigmoid(1.702 x)`, as all of OpenAI's
            weights and some of OpenCLIP's, in place of the exact GELU. No tensor
            shows it.
    """

    embed_dim: int
    vocab_size: int = 49_408
    context_length: int = 77
    quick_gelu: bool

    text_parts: ClassVar[tuple[str, ...]] = TEXT_TOWER
    parts: ClassVar[tuple[str, ...]] = ("visual", *TEXT_TOWER, "logit_scale")
    multiples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("image_size", "patch_size"),
        *DualEncoderConfig.multiples,
    )


CLIP_VIT_B32 = ClipConfig(
    patch_size=32,
    embed_dim=512,
    vision_width=768,
    vision_depth=12,
    vision_heads=12,
    vision_mlp_dim=3072,
    text_width=512,
    text_depth=12,
    text_heads=8,
    text_mlp_dim=2048,
    quick_gelu=True,
)
CLIP_VIT_B16 = dataclasses.replace(CLIP_VIT_B32, patch_size=16)
CLIP_VIT_L14 = ClipConfig(
    patch_size=14,
    embed_dim=768,
    vision_width=1024,
    vision_depth=24,
    vision_heads=16,
    vision_mlp_dim=4096,
    text_width=768,
    text_depth=12,
    text_heads=12,
    text_mlp_dim=3072,
    quick_gelu=True,
)
CLIP_VIT_L14_336 = dataclasses.replace(CLIP_VIT_L14, image_size=336)
# OpenCLIP's, on LAION-2B: heads 80 channels wide in the vision tower, and the exact GELU.
CLIP_VIT_H14 = ClipConfig(
    patch_size=14,
    embed_dim=1024,
    vision_width=1280,
    vision_depth=32,
    vision_heads=16,
    vision_mlp_dim=5120,
    text_width=1024,
    text_depth=24,
    text_heads=16,
    text_mlp_dim=4096,
    quick_gelu=False,
)
CLIP_SIZES = {
    "clip_vit_b32": CLIP_VIT_B32,
    "clip_vit_b16": CLIP_VIT_B16,
    "clip_vit_l14": CLIP_VIT_L14,
    "clip_vit_l14_336": CLIP_VIT_L14_336,
    "clip_vit_h14": CLIP_VIT_H14,
}
