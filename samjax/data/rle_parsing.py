"""Parsing of COCO's compressed RLE to run boundaries, many masks at once.

A string of the code has a number for each run. Each byte has six bits, added to 48:
five bits of a number, the lowest first, and one that marks that more follow. From the
fourth run on, the number is the difference from the run two before.
"""

from collections.abc import Sequence

import numpy as np

from samjax.data.runs import Boundaries


def read_boundaries(texts: Sequence[bytes], size: tuple[int, int]) -> Boundaries:
    """Parses many masks in COCO's compressed RLE at once.

    A string is damaged if it is empty, has bytes outside the code, ends within a
    number, has a number of more than 35 bits or a negative run, or if its runs do not
    add up to the size; the other masks are not affected.

    Args:
        texts: `counts` of each mask.
        size: h, w of all of them, fewer than 2**31 pixels.
    """
    good = np.array([_is_complete(text) for text in texts], bool)
    kept = np.flatnonzero(good)
    complete = [texts[i] for i in kept.tolist()]
    if not complete:
        empty = np.zeros(0, np.int32)
        return Boundaries(empty, empty, good)
    # Each byte has five bits of a number, low bits first, and bit 5 if more follow.
    codes = np.frombuffer(b"".join(complete), np.uint8) - np.uint8(48)
    last = np.flatnonzero(codes < 32)
    first = np.append(0, last[:-1] + 1)
    stops = np.cumsum([len(text) for text in complete])
    # The numbers of mask i are numbers[heads[i] : tails[i]].
    tails = np.searchsorted(last, stops - 1) + 1
    heads = np.append(0, tails[:-1])
    owner = np.repeat(np.arange(len(kept)), tails - heads)
    runs = _undo_differences(_decode_numbers(codes, first, last), heads, owner)
    pixels = size[0] * size[1]
    damaged = (runs < 0) | (last - first > 6)
    # One sum over all masks, from which each mask's start is subtracted.
    ends = np.cumsum(runs)
    ends -= (ends[heads] - runs[heads])[owner]
    sound = (ends[tails - 1] == pixels) & (
        np.bincount(owner[damaged], minlength=len(kept)) == 0
    )
    good[kept] = sound
    # The end of the last run is the end of the image, not a boundary.
    inner = sound[owner]
    inner[tails - 1] = False
    return Boundaries(
        mask=kept[owner[inner]].astype(np.int32),
        position=ends[inner].astype(np.int32),
        good=good,
    )


# The bytes of the code, 48 to 111: six bits each.
_CODE = bytes(range(48, 112))


def _is_complete(text: bytes) -> bool:
    # From 80 on the continuation bit is set: the text would end within a number.
    return bool(text) and text[-1] < 80 and not text.translate(None, _CODE)


def _decode_numbers(
    codes: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Assembles the numbers from their groups of five bits, little-endian."""
    values = (codes[first] & 31).astype(np.int64)
    longer = np.flatnonzero(last > first)
    for group in range(1, 7):
        if not len(longer):
            break
        values[longer] |= (codes[first[longer] + group] & 31).astype(np.int64) << (
            5 * group
        )
        longer = longer[last[longer] - first[longer] > group]
    # Bit 4 of the last group is the sign: two's complement of that many bits.
    negative = np.flatnonzero(codes[last] & 16)
    bits = 5 * np.minimum(last[negative] - first[negative] + 1, 7)
    values[negative] -= np.int64(1) << bits
    return values


def _undo_differences(
    values: np.ndarray, heads: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """Inverts COCO's differences, taken between a run and the one two before.

    A run is the sum of every second number up to it, without the mask's first number:
    the third run is stored as it is.
    """
    first_runs = values[heads]
    values[heads] = 0
    # Sums over all masks, from which the sum before each mask is subtracted.
    runs = np.empty_like(values)
    before = np.empty((2, len(heads)), values.dtype)
    for parity in (0, 1):
        total = np.cumsum(values[parity::2])
        runs[parity::2] = total
        before[parity] = np.append(0, total)[(heads + 1 - parity) // 2]
    parities = np.arange(len(values)) & 1
    runs -= before[parities, owner]
    runs[heads] = first_runs
    return runs
