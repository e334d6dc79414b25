"""Inference: images to embeddings, prompts to masks.

`predictor.Predictor` is the entry point: it embeds an image (`embedding.ImageEmbedding`)
and predicts the masks (`masks.Masks`) of a prompt (`prompts.Prompt`).
`automatic.generate.generate_masks` segments everything in an image.
All of these are immutable and safe to share between threads.
"""

from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import read_image
from samjax.inference.masks import Masks
from samjax.inference.predictor import Predictor
from samjax.inference.prompts import Prompt

__all__ = [
    "AutomaticConfig",
    "ImageEmbedding",
    "Masks",
    "Predictor",
    "Prompt",
    "generate_masks",
    "read_image",
]
