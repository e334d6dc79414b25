"""Using a model: images to embeddings, prompts to masks.

`predictor.Predictor` is the way in; `prompts.Prompt` is what it is asked,
`embedding.ImageEmbedding` what it remembers of an image, `masks.Masks` what it answers.
`automatic.generate_masks` asks for everything in an image.
Everything here is immutable and safe to share between threads.
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
