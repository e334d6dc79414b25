"""The sizes of SigLIP (Zhai et al., 2023), and those of the published models."""

from dataclasses import dataclass
from typing import ClassVar

from samjax.models.clip.config import DualEncoderConfig
from samjax.models.params import SIGLIP_TEXT_TOWER


@dataclass(frozen=True, kw_only=True)
class SiglipConfig(DualEncoderConfig):
    """All that the parameters of SigLIP and their meaning depend on.

    The space that images and texts share is as wide as the tokens of images. The pooling
    has as many attention heads as a block of the vision tower. Texts are padded to
    `context_length`.
    """

    vocab_size: int = 32_000
    context_length: int = 64

    text_parts: ClassVar[tuple[str, ...]] = SIGLIP_TEXT_TOWER
    parts: ClassVar[tuple[str, ...]] = (
        "visual",
        *SIGLIP_TEXT_TOWER,
        "logit_scale",
        "logit_bias",
    )

    @property
    def embed_dim(self) -> int:
        """Width of the joint space."""
        return self.vision_width

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes."""
        problems = super().problems()
        # No multiple: 14-pixel patches of 384 pixels leave 6 pixels out.
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
