"""Using a model: images to embeddings, prompts to masks.

`predictor.Predictor` is the way in; `prompts.Prompt` is what it is asked,
`embedding.ImageEmbedding` what it remembers of an image, `masks.Masks` what it answers.
Everything here is immutable and safe to share between threads.
"""

from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import read_image
from samjax.inference.masks import Masks
from samjax.inference.predictor import Predictor
from samjax.inference.prompts import Prompt

__all__ = ["ImageEmbedding", "Masks", "Predictor", "Prompt", "read_image"]
