"""Masks as the places where they change: from COCO's text to the training frame.

A mask of SA-1B is a kilobyte of text and its pixels are megabytes, so nothing here draws
pixels: the device does (`samjax.data.drawing`). The text of all masks of an image is read at
once to run boundaries, positions in the column by column order of COCO at which a mask
changes; each boundary moves to the training frame by two tables, which is exactly
nearest-neighbour resizing of the mask.

In the training frame, a square of `side` pixels, position `column * side + row` is a
pixel. A boundary is never in the padding: one at the foot of a column stands at the head
of the next. Rows of boundaries end with copies of `side * side`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32


class Boundaries(NamedTuple):
    """Run boundaries of many masks of one size, in order of masks and positions.

    Attributes:
        mask: Int32 "n", which mask each is of.
        position: Int32 "n", the first pixel after the change, column by column. A
            position may repeat; what changes twice does not change.
        good: Bool "m", False for a mask whose text was damaged; it has no boundaries.
    """

    mask: np.ndarray
    position: np.ndarray
    good: np.ndarray


class Window(NamedTuple):
    """Which pixel of an image is under each row and column of the training frame.

    Attributes:
        size: h, w of the image that the masks are of.
        rows: Int "y", the image's row under each row, not falling.
        columns: Int "x", the image's column under each column, in any order.
    """

    size: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray


def nearest(
    length: int, resized: int, start: int = 0, stop: int | None = None
) -> Int[np.ndarray, " n"]:
    """Returns what is nearest to the centres of pixels of a resized row or column.

    Args:
        length: of the original.
        resized: its length after resizing.
        start: first resized pixel asked for.
        stop: one after the last one, the end by default.

    Returns:
        Places in the original: `floor((place + 0.5) * length / resized)` without
        rounding, which Pillow's NEAREST is too but where it rounds ties down.
    """
    places = np.arange(start, resized if stop is None else stop)
    return (2 * places + 1) * length // (2 * resized)


def read_boundaries(texts: Sequence[bytes], size: tuple[int, int]) -> Boundaries:
    """Reads many masks in COCO's compressed form at once.

    A text is damaged if it is empty, has bytes that the code does not use, ends within
    a number, has a number of more than 35 bits or a negative run, or if its runs do not
    add up to the size; that costs its mask and no other.

    Args:
        texts: `counts` of each mask.
        size: h, w of all of them, fewer than 2**31 pixels.
    """
    good = np.array([_is_whole(text) for text in texts], bool)
    kept = np.flatnonzero(good)
    whole = [texts[i] for i in kept.tolist()]
    if not whole:
        nothing = np.zeros(0, np.int32)
        return Boundaries(nothing, nothing, good)
    codes = np.frombuffer(b"".join(whole), np.uint8) - np.uint8(48)
    last = np.flatnonzero(codes < 32)
    first = np.append(0, last[:-1] + 1)
    stops = np.cumsum([len(text) for text in whole])
    # Numbers of a text are numbers[heads[i] : tails[i]].
    tails = np.searchsorted(last, stops - 1) + 1
    heads = np.append(0, tails[:-1])
    owner = np.repeat(np.arange(len(kept)), tails - heads)
    runs = _undo_differences(_numbers(codes, first, last), heads, owner)
    pixels = size[0] * size[1]
    damaged = (runs < 0) | (last - first > 6)
    ends = np.cumsum(runs)
    ends -= (ends[heads] - runs[heads])[owner]
    sound = (ends[tails - 1] == pixels) & (
        np.bincount(owner[damaged], minlength=len(kept)) == 0
    )
    good[kept] = sound
    inner = sound[owner]
    inner[tails - 1] = False
    return Boundaries(
        mask=kept[owner[inner]].astype(np.int32),
        position=ends[inner].astype(np.int32),
        good=good,
    )


def boundaries_of_masks(
    masks: Bool[np.ndarray, "m s w"],
    left: int = 0,
    visible: tuple[int, int] | None = None,
) -> Boundaries:
    """Finds where masks change that are drawn in the training frame.

    Args:
        masks: some columns of the frame, all rows of them.
        left: the first of these columns.
        visible: h, w of the part of the frame that is not padding, where masks are
            False; None for all.
    """
    count, side, width = masks.shape
    height, end = visible or (side, side)
    columns = np.zeros((count, side * width + 2), bool)
    columns[:, 1:-1] = masks.swapaxes(1, 2).reshape(count, side * width)
    mask, position = np.nonzero(columns[:, 1:] != columns[:, :-1])
    position += left * side
    row = position % side
    position += np.where(row >= height, side - row, 0)
    # In order still, but what ends at a foot may begin again at the next head.
    keys = mask * (side * side + side) + position
    kept = _once_of_pairs(keys)
    kept = kept[position[kept] < end * side]
    return Boundaries(
        mask[kept].astype(np.int32),
        position[kept].astype(np.int32),
        np.ones(count, bool),
    )


def cut_boundaries(
    boundaries: Boundaries, covered: Int[np.ndarray, " n"]
) -> Boundaries:
    """Takes one mask's pixels from many others.

    Args:
        boundaries: of the others.
        covered: positions of the one mask's boundaries, each once, in order.
    """
    count, number = len(boundaries.good), len(covered)
    mask = np.concatenate([boundaries.mask, np.repeat(np.arange(count), number)])
    position = np.concatenate([boundaries.position, np.tile(covered, count)])
    is_cover = np.arange(len(mask)) >= len(boundaries.mask)
    keys = mask.astype(np.int64) << 32 | position
    order = np.argsort(keys, kind="stable")
    keys, mask, is_cover = keys[order], mask[order], is_cover[order]
    own = np.bincount(boundaries.mask, minlength=count)
    own_before = np.cumsum(own) - own
    inside = (np.cumsum(~is_cover) - own_before[mask]) & 1
    under = (np.cumsum(is_cover) - number * mask) & 1
    # What holds after the last of all that change at one place.
    last = np.flatnonzero(np.diff(keys, append=-1))
    state = (inside & ~under)[last]
    before = np.where(np.diff(mask[last], prepend=-1), 0, np.roll(state, 1))
    changed = last[state != before]
    return Boundaries(
        mask[changed].astype(np.int32),
        position[order][changed].astype(np.int32),
        boundaries.good,
    )


def move_boundaries(boundaries: Boundaries, window: Window, side: int) -> Boundaries:
    """Moves boundaries to the training frame, as if each mask were resized and cropped.

    Returns:
        Boundaries in the frame, each position once; masks of which nothing is seen have
        none.
    """
    height = window.size[0]
    seen, order = np.unique(window.columns, return_inverse=True)
    column = boundaries.position // np.int32(height)
    row = boundaries.position - column * np.int32(height)
    # Pixels of the frame that come before a row or column of the image.
    rows_before = np.searchsorted(window.rows, np.arange(height + 1))
    rows_before[rows_before == len(window.rows)] = side
    columns_before = np.searchsorted(seen, np.arange(window.size[1] + 1))
    is_seen = np.diff(columns_before, append=columns_before[-1]) > 0
    place = columns_before.astype(np.int32)[column] * np.int32(side)
    place += np.where(is_seen[column], rows_before.astype(np.int32)[row], 0)
    mask, end = boundaries.mask, len(window.columns) * side
    # In order of masks and positions, which a flip leaves only here and there.
    keys = mask.astype(np.int64) * (end + 1) + np.minimum(place, end)
    if not np.array_equal(order, np.arange(len(order))):
        mask, place = _arrange_columns(mask, place, order, side, len(boundaries.good))
        keys = np.sort(mask.astype(np.int64) * (end + 1) + place)
        mask, place = np.divmod(keys, end + 1)
    kept = _once_of_pairs(keys)
    kept = kept[place[kept] < end]
    return Boundaries(
        mask[kept].astype(np.int32), place[kept].astype(np.int32), boundaries.good
    )


def mask_areas(
    boundaries: Boundaries, visible: tuple[int, int], side: int
) -> Int[np.ndarray, " m"]:
    """Returns the pixels of each mask in the training frame.

    Args:
        boundaries: in the frame.
        visible: h, w of the part of the frame that is not padding.
        side: of the frame.
    """
    count = len(boundaries.good)
    number = np.bincount(boundaries.mask, minlength=count)
    packed = _without_padding(boundaries.position, visible[0], side)
    sums = np.append(0, np.cumsum(_signs(number) * packed))
    stops = np.cumsum(number)
    area = sums[stops] - sums[stops - number]
    return area + np.where(number % 2 == 1, visible[0] * visible[1], 0)


def drop_short_runs(
    boundaries: Boundaries, most: int, visible: tuple[int, int], side: int
) -> tuple[Boundaries, Int[np.ndarray, " m"]]:
    """Takes their shortest runs from masks with more boundaries than a row holds.

    Args:
        boundaries: in the frame.
        most: boundaries of a mask, even.
        visible: h, w of the part of the frame that is not padding.
        side: of the frame.

    Returns:
        Boundaries, and the pixels that each mask lost.
    """
    number = np.bincount(boundaries.mask, minlength=len(boundaries.good))
    lost = np.zeros(len(number), np.int64)
    kept = np.ones(len(boundaries.mask), bool)
    stops = np.cumsum(number)
    for mask in np.flatnonzero(number > most):
        places = slice(stops[mask] - number[mask], stops[mask])
        positions = boundaries.position[places]
        kept[places], lost[mask] = _longest_runs(positions, most, visible, side)
    if lost.any():
        boundaries = boundaries._replace(
            mask=boundaries.mask[kept], position=boundaries.position[kept]
        )
    return boundaries, lost


def pack_boundaries(
    boundaries: Boundaries,
    masks: Int[np.ndarray, " k"],
    rows: Int32[np.ndarray, "k l"],
) -> None:
    """Writes the boundaries of some masks into rows of a fixed length.

    Args:
        boundaries: in the frame, of each of `masks` at most as many as a row is long.
        masks: which masks, in order.
        rows: to be written to; what is left of each row stays as it is, and that is to
            be `side * side`.
    """
    row_of = np.full(len(boundaries.good), -1)
    row_of[masks] = np.arange(len(masks))
    number = np.bincount(boundaries.mask, minlength=len(boundaries.good))
    place = _places_in_groups(number)
    row = row_of[boundaries.mask]
    wanted = row >= 0
    rows[row[wanted], place[wanted]] = boundaries.position[wanted]


# The bytes of the code, 48 to 111.
_CODE = bytes(range(48, 112))


def _is_whole(text: bytes) -> bool:
    # A number goes on where the sixth bit is set.
    return bool(text) and text[-1] < 80 and not text.translate(None, _CODE)


def _numbers(codes: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Puts the groups of five bits between first and last together."""
    values = (codes[first] & 31).astype(np.int64)
    longer = np.flatnonzero(last > first)
    for place in range(1, 7):
        if not len(longer):
            break
        values[longer] |= (codes[first[longer] + place] & 31).astype(np.int64) << (
            5 * place
        )
        longer = longer[last[longer] - first[longer] > place]
    negative = np.flatnonzero(codes[last] & 16)
    bits = 5 * np.minimum(last[negative] - first[negative] + 1, 7)
    values[negative] -= np.int64(1) << bits
    return values


def _undo_differences(
    values: np.ndarray, heads: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """Adds to each number the sum of those two, four, six, ... places before it.

    The first number of a mask stands alone, beside both sums.
    """
    alone = values[heads]
    values[heads] = 0
    # Whatever masks they are of: what a sum had before its mask is taken off again.
    runs = np.empty_like(values)
    before = np.empty((2, len(heads)), values.dtype)
    for parity in (0, 1):
        total = np.cumsum(values[parity::2])
        runs[parity::2] = total
        before[parity] = np.append(0, total)[(heads + 1 - parity) // 2]
    place = np.arange(len(values)) & 1
    runs -= before[place, owner]
    runs[heads] = alone
    return runs


def _arrange_columns(
    mask: np.ndarray, place: np.ndarray, order: np.ndarray, side: int, masks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Puts column `order[x]` at column x: flips, and repeats where images grow."""
    columns = int(order.max(initial=-1)) + 1
    column, row = np.divmod(place, side)
    in_frame = column < columns
    mask, column, row = mask[in_frame], column[in_frame], row[in_frame]
    cell = mask * columns + column
    at_head = row == 0
    shape = (masks, columns)
    heads, inner = (
        np.bincount(cell[chosen], minlength=masks * columns).reshape(shape)
        for chosen in (at_head, ~at_head)
    )
    # Whether each column starts and ends within the mask.
    ends = np.cumsum(heads + inner, axis=1) & 1
    starts = (ends - inner) & 1
    arranged_ends = np.pad(ends[:, order[:-1]], ((0, 0), (1, 0)))
    head_mask, head_column = np.nonzero(starts[:, order] != arranged_ends)
    copies = np.bincount(order, minlength=columns)
    targets = np.argsort(order, kind="stable")
    first_target = np.cumsum(copies) - copies
    mask, column, row = mask[~at_head], column[~at_head], row[~at_head]
    number = copies[column]
    which = _places_in_groups(number)
    moved = targets[np.repeat(first_target[column], number) + which]
    places = moved * side + np.repeat(row, number)
    return (
        np.concatenate([np.repeat(mask, number), head_mask]).astype(np.int32),
        np.concatenate([places, head_column * side]).astype(np.int32),
    )


def _once_of_pairs(keys: np.ndarray) -> np.ndarray:
    """Where a sorted list has what is in it an odd number of times, one place of each."""
    new = np.flatnonzero(np.diff(keys, prepend=-1))
    number = np.diff(new, append=len(keys))
    return new[number % 2 == 1]


def _signs(number: np.ndarray) -> np.ndarray:
    """-1 for boundaries at which a mask begins, 1 for those at which it ends."""
    return 2 * (_places_in_groups(number) & 1) - 1


def _places_in_groups(number: np.ndarray) -> np.ndarray:
    """Counts from 0 in each of some groups that follow one another."""
    return np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)


def _without_padding(places: np.ndarray, height: int, side: int) -> np.ndarray:
    column = places // side
    return places.astype(np.int64) - column * (side - height)


def _longest_runs(
    places: np.ndarray, most: int, visible: tuple[int, int], side: int
) -> tuple[np.ndarray, int]:
    """Which boundaries to keep, and the pixels of the runs between the others."""
    end = visible[1] * side
    pairs = np.append(places, [end] * (len(places) % 2)).reshape(-1, 2)
    lengths = np.diff(_without_padding(pairs, visible[0], side), axis=1)[:, 0]
    kept = np.zeros(len(lengths), bool)
    kept[np.argsort(-lengths, kind="stable")[: most // 2]] = True
    return np.repeat(kept, 2)[: len(places)], int(lengths[~kept].sum())
