"""Texts to token ids, for the text towers of models. On the host, without a model."""

import functools

from samjax.text.sentence_pieces import SiglipTokenizer
from samjax.text.tokenizer import ClipTokenizer
from samjax.text.vocabularies import pack_vocabulary, unpack_vocabulary
from samjax.text.words import WordTokenizer

__all__ = [
    "ClipTokenizer",
    "SiglipTokenizer",
    "WordTokenizer",
    "make_tokenizer",
    "pack_vocabulary",
]


@functools.lru_cache(maxsize=8)
def make_tokenizer(
    *, words: tuple[str, ...] = (), vocabulary: str = "", context_length: int
) -> ClipTokenizer | SiglipTokenizer | WordTokenizer:
    """Returns the tokenizer of a model: that of CLIP, unless it has a vocabulary.

    Args:
        words: A vocabulary of whole words.
        vocabulary: One of SigLIP, packed by `pack_vocabulary`.
        context_length: Ids in a row.

    Raises:
        ImportError: The package that reads the vocabulary is not installed.
        ValueError: The vocabulary is damaged, or none of a SigLIP.
    """
    if words:
        return WordTokenizer(words=words, context_length=context_length)
    if vocabulary:
        file = unpack_vocabulary(vocabulary)
        return SiglipTokenizer.from_file(file, context_length=context_length)
    return ClipTokenizer(context_length=context_length)
