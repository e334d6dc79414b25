"""Byte pair encoding with CLIP's vocabulary of 49,408 tokens.

A piece of text is its bytes in UTF-8, the last one marked as the end of a word, and the
adjacent pair of the lowest rank is merged until no pair has a rank. The 48,894 merges
are those of OpenAI's CLIP (samjax/assets/NOTICE.md).
"""

import functools
import gzip
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from samjax.text.splitting import END_TEXT, START_TEXT

MERGES = Path(__file__).parents[1] / "assets" / "clip_merges.txt.gz"
END_OF_WORD = "</w>"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens and merges of a byte pair encoding.

    Attributes:
        ids: Id of every token; bytes are written as in `byte_characters`.
        ranks: Rank of every pair that is merged, the lowest first.
        tokens: Token of every id.
    """

    ids: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]
    tokens: tuple[str, ...]


@functools.cache
def clip_vocabulary() -> Vocabulary:
    """Returns CLIP's vocabulary, which comes with samjax."""
    lines = gzip.decompress(MERGES.read_bytes()).decode().splitlines()
    merges = []
    for line in lines:
        first, second = line.split(" ")
        merges.append((first, second))
    characters = byte_characters()
    tokens = (
        *characters.values(),
        *(character + END_OF_WORD for character in characters.values()),
        *(first + second for first, second in merges),
        START_TEXT,
        END_TEXT,
    )
    return Vocabulary(
        ids={token: i for i, token in enumerate(tokens)},
        ranks={pair: i for i, pair in enumerate(merges)},
        tokens=tokens,
    )


@functools.cache
def byte_characters() -> Mapping[int, str]:
    """Returns a printable character for every byte, in the order of the vocabulary.

    Bytes that are printable in Latin-1 stand for themselves, the others for the
    characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    shifted = {byte: chr(0x100 + i) for i, byte in enumerate(others)}
    return {byte: chr(byte) for byte in printable} | shifted


@functools.lru_cache(maxsize=2**14)
def merge(piece: str) -> tuple[int, ...]:
    """Returns the ids of the tokens of a piece of text without spaces.

    Takes O(n log n) time in its length.
    """
    vocabulary = clip_vocabulary()
    if piece in (START_TEXT, END_TEXT):
        return (vocabulary.ids[piece],)
    characters = byte_characters()
    symbols: list[str | None] = [characters[byte] for byte in piece.encode()]
    symbols[-1] = f"{symbols[-1]}{END_OF_WORD}"
    _merge_pairs(symbols, vocabulary.ranks)
    return tuple(vocabulary.ids[symbol] for symbol in symbols if symbol is not None)


def _merge_pairs(
    symbols: list[str | None], ranks: Mapping[tuple[str, str], int]
) -> None:
    """Merges in place: the first symbol of a merged pair grows, the other is None."""
    after = list(range(1, len(symbols) + 1))
    before = list(range(-1, len(symbols) - 1))
    pairs: list[tuple[int, int, str, str]] = []

    def found(first: int) -> list[tuple[int, int, str, str]]:
        """Returns the ranked pair that starts at a symbol, if there is one."""
        if first < 0 or after[first] >= len(symbols):
            return []
        one, two = symbols[first], symbols[after[first]]
        assert one is not None and two is not None
        rank = ranks.get((one, two))
        return [] if rank is None else [(rank, first, one, two)]

    for position in range(len(symbols)):
        pairs += found(position)
    heapq.heapify(pairs)
    while pairs:
        rank, made = pairs[0][0], []
        # All pairs of one rank are merged from left to right before any new pair is.
        while pairs and pairs[0][0] == rank:
            _, first, one, two = heapq.heappop(pairs)
            second = after[first]
            if symbols[first] != one or second >= len(symbols):
                continue
            if symbols[second] != two:
                continue
            symbols[first], symbols[second] = one + two, None
            after[first] = after[second]
            if after[first] < len(symbols):
                before[after[first]] = first
            made.append(first)
        for position in made:
            for pair in (*found(before[position]), *found(position)):
                heapq.heappush(pairs, pair)
