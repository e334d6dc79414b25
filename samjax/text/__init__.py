"""Texts to token ids, for the text towers of models. On the host, without a model."""

from samjax.text.sentence_pieces import SiglipTokenizer
from samjax.text.tokenizer import ClipTokenizer
from samjax.text.words import WordTokenizer

__all__ = ["ClipTokenizer", "SiglipTokenizer", "WordTokenizer"]
