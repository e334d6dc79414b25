"""Texts to token ids, for the text towers of models. On the host, without a model."""

from samjax.text.tokenizer import ClipTokenizer

__all__ = ["ClipTokenizer"]
