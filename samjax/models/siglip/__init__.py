"""SigLIP: images and texts in one space by a sigmoid loss (Zhai et al., arXiv 2303.15343).

The blocks are those of CLIP. Other than there, the vision tower has no class token and
pools its patches by attention; the text tower attends in both directions and is read out
at its last position, so that texts are padded to the context's length. SigLIP 2 of fixed
resolution (arXiv 2502.14786) is the same model with a larger vocabulary.

Its tokenizers are SentencePiece models, which come with the weights
(`samjax.text.SiglipTokenizer`).

Letters in shapes: `b` image or text, `t` token, `c` channels, `e` the joint width.
"""

from samjax.models.siglip.config import (
    SIGLIP_SO400M,
    SIGLIP_VIT_B16,
    SIGLIP_VIT_L16,
    SiglipConfig,
)
from samjax.models.siglip.model import Siglip

__all__ = [
    "SIGLIP_SO400M",
    "SIGLIP_VIT_B16",
    "SIGLIP_VIT_L16",
    "Siglip",
    "SiglipConfig",
]
