"""Splits clean text into the pieces that byte pairs are merged within.

CLIP splits by a regular expression of the package `regex`, which knows the classes of
Unicode that Python's `re` does not:

    <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd
    | [letters]+ | [one number] | [neither space, letter nor number]+

This is the same split with the categories of `unicodedata`. Letters and numbers of
Unicode versions newer than Python's are in another class than for a newer `regex`.
"""

import re
import unicodedata
from collections.abc import Iterator

START_TEXT = "<|startoftext|>"
END_TEXT = "<|endoftext|>"


def split(text: str) -> Iterator[str]:
    """Splits text into special tokens, contractions, words, digits and the rest.

    Args:
        text: Clean text in lower case.

    Yields:
        The pieces in order; spaces are left out.
    """
    kinds = [_kind(character) for character in text]
    position = 0
    while position < len(text):
        start, kind = position, kinds[position]
        position += 1
        if kind in "sx":
            continue
        if special := SPECIAL.match(text, start):
            position = special.end()
        elif kind != "n":
            while position < len(text) and kinds[position] == kind:
                position += 1
        yield text[start:position]


def _kind(character: str) -> str:
    """Returns the class of a character: letter, number, space, other, x for dropped."""
    if character.isspace():
        return "s"
    # The iota below a letter is a mark that is a letter in capitals. The expression
    # ignores case, and finds it in no class.
    if character == "\u0345":
        return "x"
    category = unicodedata.category(character)[0]
    return {"L": "l", "N": "n"}.get(category, "o")


# Ignoring case, as the long s is an s then.
SPECIAL = re.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'(?:s|t|re|ve|m|ll|d)", re.IGNORECASE
)
