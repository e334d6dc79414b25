"""SAM with text prompts (SAM, appendix D.5): a text tower, and a projection to a token.

A sibling architecture whose image encoder, prompt encoder and mask decoder are SAM's.
The text tower is CLIP's. Its vectors, normalized, become the first of the sparse prompt
tokens by one linear layer of the prompt encoder.
"""

from samjax.models.text_sam.config import TextSamArchitecture, TextSamConfig
from samjax.models.text_sam.model import TextSam

__all__ = ["TextSam", "TextSamArchitecture", "TextSamConfig"]
