"""The tokenizer of CLIP and OpenCLIP: texts to rows of token ids."""

import functools
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from samjax.text.byte_pairs import (
    END_OF_WORD,
    byte_characters,
    clip_vocabulary,
    merge,
)
from samjax.text.repair import fix_text
from samjax.text.rows import token_rows
from samjax.text.splitting import END_TEXT, START_TEXT, split


@dataclass(frozen=True, kw_only=True)
class ClipTokenizer:
    """CLIP's byte pair encoding, with OpenAI's vocabulary and the same ids.

        tokens = ClipTokenizer()(["a wheel", "the left mug"])

    Without the package ftfy (the extra `text`) text that was decoded in the wrong
    encoding gets the ids of the letters that it shows; see `samjax.text.repair`.

    Attributes:
        context_length: Ids in a row, those of start and end included: 77 for CLIP.
    """

    context_length: int = 77

    def __post_init__(self):
        if self.context_length < 2:
            raise ValueError(
                f"Got context_length={self.context_length}, expected at least 2: a row "
                "has ids for the start and the end."
            )

    def __call__(self, texts: str | Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Encodes texts, each from its start token to its end token.

        Args:
            texts: One text, or several.

        Returns:
            Ids in int32, a row per text, zero after the end token. A text that is too
            long is cut, with a warning that shows what is kept.

        Raises:
            TypeError: A text is no string.
        """
        ids = clip_vocabulary().ids
        return token_rows(
            texts,
            encode,
            decode,
            start=(ids[START_TEXT],),
            end=ids[END_TEXT],
            padding=0,
            context_length=self.context_length,
        )


def encode(text: str) -> list[int]:
    """Returns the ids of a text of any length, without start and end.

    Raises:
        TypeError: It is no string.
    """
    if not isinstance(text, str):
        raise TypeError(f"Got {text!r:.80}, expected a text as a str.")
    return [token for piece in split(clean(text)) for token in merge(piece)]


def decode(tokens: Sequence[int]) -> str:
    """Returns the text of ids, in lower case and with a space after each word.

    Raises:
        ValueError: An id is not in the vocabulary.
    """
    vocabulary = clip_vocabulary().tokens
    if strange := [id for id in tokens if not 0 <= id < len(vocabulary)]:
        raise ValueError(
            f"Got the token {strange[0]}, expected 0 to {len(vocabulary) - 1}."
        )
    written = "".join(vocabulary[id] for id in tokens)
    written = written.replace(END_OF_WORD, " ")
    # The space is no character of a byte, and is not in the table.
    data = bytes(_bytes_of_characters().get(character, 0x20) for character in written)
    return data.decode("utf-8", "replace")


def clean(text: str) -> str:
    """Returns a text repaired, without HTML's entities, in lower case and one line."""
    # Twice, as captions from the web are often escaped twice.
    text = html.unescape(html.unescape(fix_text(text)))
    return re.sub(r"\s+", " ", text).strip().lower()


@functools.cache
def _bytes_of_characters() -> dict[str, int]:
    return {character: byte for byte, character in byte_characters().items()}
