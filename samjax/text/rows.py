"""Rows of token ids of one length: texts that are too long are cut, with a warning."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int


def token_rows(
    texts: str | Sequence[str],
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    *,
    start: Sequence[int],
    end: int,
    padding: int,
    context_length: int,
) -> Int[np.ndarray, "n t"]:
    """Encodes texts, each with its start and end tokens.

    Args:
        texts: One text, or several.
        encode: Returns the ids of a text of any length, without start and end.
        decode: Returns the text of ids, for a warning.
        start: Ids before a text.
        end: Id behind it, which stays if the text is cut.
        padding: Id behind the end.
        context_length: Ids in a row.

    Returns:
        Ids in int32, a row per text. A text that is too long is cut, with a warning that
        shows what is kept.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    rows = np.full((len(texts), context_length), padding, np.int32)
    room = context_length - len(start) - 1
    for row, text in zip(rows, texts, strict=True):
        tokens = encode(text)
        if len(tokens) > room:
            kept = decode(tokens[:room]).strip()
            warnings.warn(
                f"The text {text[:40]!r}... has {len(tokens)} tokens, and the model "
                f"reads {room}: the rest is left out. What is kept: {kept!r}",
                stacklevel=3,
            )
        whole = [*start, *tokens[:room], end]
        row[: len(whole)] = whole
    return rows
