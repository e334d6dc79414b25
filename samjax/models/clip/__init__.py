"""CLIP: images and texts embedded in one space (Radford et al., arXiv 2103.00020).

One pair of towers for OpenAI's models and OpenCLIP's of the same class: ViT-B/32, B/16,
L/14, L/14 at 336 pixels and H/14. A sibling architecture of SAM: its weights are saved,
loaded and converted like SAM's, and it predicts no masks.

Letters in shapes: `b` image or text, `t` token, `c` channels, `e` the joint width.
"""

from samjax.models.clip.config import (
    CLIP_SIZES,
    CLIP_VIT_B16,
    CLIP_VIT_B32,
    CLIP_VIT_H14,
    CLIP_VIT_L14,
    CLIP_VIT_L14_336,
    ClipConfig,
)
from samjax.models.clip.model import Clip, ClipEmbeddings

__all__ = [
    "CLIP_SIZES",
    "CLIP_VIT_B16",
    "CLIP_VIT_B32",
    "CLIP_VIT_H14",
    "CLIP_VIT_L14",
    "CLIP_VIT_L14_336",
    "Clip",
    "ClipConfig",
    "ClipEmbeddings",
]
