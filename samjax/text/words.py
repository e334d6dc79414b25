"""The tokenizer of small towers: a vocabulary of whole words."""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from samjax.text.splitting import split
from samjax.text.tokenizer import clean


@dataclass(frozen=True, kw_only=True)
class WordTokenizer:
    """Whole words to ids: 0 pads, word i is i + 1, then come unknown, start and end.

    Attributes:
        words: The vocabulary, in lower case.
        context_length: Ids in a row, those of start and end included.
    """

    words: tuple[str, ...]
    context_length: int

    def __call__(self, texts: str | Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Encodes texts, each from its start token to its end token.

        Args:
            texts: One text, or several.

        Returns:
            Ids in int32, a row per text, zero after the end token. A text that is too
            long is cut, and unknown words share one id; both with a warning.

        Raises:
            TypeError: A text is no string.
            ValueError: No word of a text is known.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        ids = {word: i + 1 for i, word in enumerate(self.words)}
        unknown, start, end = (len(self.words) + i for i in (1, 2, 3))
        rows = np.zeros((len(texts), self.context_length), np.int32)
        for row, text in zip(rows, texts, strict=True):
            words = list(split(clean(text)))
            strange = [word for word in dict.fromkeys(words) if word not in ids]
            if not any(word in ids and word not in ARTICLES for word in words):
                raise ValueError(
                    f"got the text {text!r:.60}, of which this model knows no word; of "
                    f"its {len(self.words)} words {self._alike(words)}"
                )
            if strange:
                warnings.warn(
                    f"The text {text!r:.60} has words that this model has not learned: "
                    f"{', '.join(strange):.80}",
                    stacklevel=2,
                )
            kept = words[: self.context_length - 2]
            if len(kept) < len(words):
                warnings.warn(
                    f"The text {text[:40]!r}... has {len(words)} words, and the model "
                    f"reads {len(kept)}. What is kept: {' '.join(kept)!r:.200}",
                    stacklevel=2,
                )
            row[: len(kept) + 2] = start, *(ids.get(w, unknown) for w in kept), end
        return rows

    def _alike(self, words: Sequence[str]) -> str:
        """Returns in words what of the vocabulary is written like some words."""
        alike = [
            known
            for word in words[:4]
            if word not in ARTICLES
            for known in difflib.get_close_matches(word[:40], self.words, 2, 0.75)
        ]
        if alike:
            return f"these are alike: {', '.join(dict.fromkeys(alike))}"
        return f"some are {', '.join(self.words[:: 1 + len(self.words) // SHOWN])}"


SHOWN = 12
"""Words of a vocabulary that a message shows."""

# Words that say nothing alone.
ARTICLES = frozenset({"a", "an", "the", "of", "on", "at", "in"})
