"""The sizes of SigLIP (Zhai et al., 2023), and those of the published models."""

from dataclasses import dataclass
from typing import ClassVar

from samjax.models.config import Architecture


@dataclass(frozen=True, kw_only=True)
class SiglipConfig(Architecture):
    """All that the parameters of SigLIP and their meaning depend on.

    The space that images and texts share is as wide as the tokens of images.

    Attributes:
        image_size: Side of the square input in pixels.
        patch_size: Side of a patch in pixels.
        vision_width: Channels of the vision tower's tokens, and of the joint space.
        vision_depth: Blocks of the vision tower.
        vision_heads: Attention heads of a block and of the pooling, which no shape
            shows.
        vision_mlp_dim: Hidden width of its MLPs.
        text_width: Channels of the text tower's tokens.
        text_depth: Blocks of the text tower.
        text_heads: Attention heads of a block of it, which no shape shows.
        text_mlp_dim: Hidden width of its MLPs.
        vocab_size: Tokens of the vocabulary.
        context_length: Tokens of a text, padding included.
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
    vocab_size: int = 32_000
    context_length: int = 64

    parts: ClassVar[tuple[str, ...]] = (
        "visual",
        "transformer",
        "token_embedding",
        "positional_embedding",
        "ln_final",
        "head",
        "logit_scale",
        "logit_bias",
    )
    encoder_parts: ClassVar[tuple[str, ...]] = ("visual",)
    decoder_fields: ClassVar[tuple[str, ...]] = (
        "text_width",
        "text_depth",
        "text_heads",
        "text_mlp_dim",
        "vocab_size",
        "context_length",
    )

    @property
    def embed_dim(self) -> int:
        """Width of the joint space."""
        return self.vision_width

    @property
    def num_repeats(self) -> int:
        """The most times that a module is repeated; the tensors are at least as many."""
        return max(self.vision_depth, self.text_depth)

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes."""
        problems = super().problems()
        if problems:
            return problems
        for dividend, divisor in (
            # Not of the patch: 14-pixel patches of 384 pixels leave 6 pixels out.
            ("vision_width", "vision_heads"),
            ("text_width", "text_heads"),
        ):
            if getattr(self, dividend) % getattr(self, divisor):
                problems.append(
                    f"{dividend} is {getattr(self, dividend)}, expected a multiple of "
                    f"{divisor}, {getattr(self, divisor)}"
                )
        if self.patch_size > self.image_size:
            problems.append(
                f"patch_size is {self.patch_size}, expected at most image_size, "
                f"{self.image_size}"
            )
        return problems


SIGLIP_VIT_B16 = SiglipConfig(
    patch_size=16,
    vision_width=768,
    vision_depth=12,
    vision_heads=12,
    vision_mlp_dim=3072,
    text_width=768,
    text_depth=12,
    text_heads=12,
    text_mlp_dim=3072,
)
SIGLIP_VIT_L16 = SiglipConfig(
    image_size=256,
    patch_size=16,
    vision_width=1024,
    vision_depth=24,
    vision_heads=16,
    vision_mlp_dim=4096,
    text_width=1024,
    text_depth=24,
    text_heads=16,
    text_mlp_dim=4096,
)
# Heads 72 channels wide; an MLP of no round multiple of the width.
SIGLIP_SO400M = SiglipConfig(
    image_size=384,
    patch_size=14,
    vision_width=1152,
    vision_depth=27,
    vision_heads=16,
    vision_mlp_dim=4304,
    text_width=1152,
    text_depth=27,
    text_heads=16,
    text_mlp_dim=4304,
)
