"""Run boundaries of masks, and their transforms to the training frame.

A mask of SA-1B is a kilobyte of text and megabytes of pixels, so dense masks are
decoded on the device only (`samjax.data.batch.decode_runs`). The host works on run boundaries:
the positions in COCO's column-major order at which a mask changes
(`samjax.data.rle_parsing`). Each boundary is mapped to the training frame by two lookup
tables, which is exactly nearest-neighbour resizing of the mask.

In the training frame, a square of `side` pixels, the pixel (row, column) has position
`column * side + row`. A boundary is never in the padding: one at the bottom of the
visible part of a column is moved to the top of the next column. Rows of boundaries are
padded with `side * side`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32


class Boundaries(NamedTuple):
    """Run boundaries of several masks of one size, sorted by mask and position.

    Attributes:
        mask: Int32 "n", index of the mask of each boundary.
        position: Int32 "n", the first pixel after the change, in column-major order. A
            position may repeat; two equal boundaries cancel.
        good: Bool "m", False for a mask whose RLE is damaged; it has no boundaries.
    """

    mask: np.ndarray
    position: np.ndarray
    good: np.ndarray


class Window(NamedTuple):
    """Sampling grid of the training frame: the source row and column of each of its own.

    Attributes:
        size: h, w of the image of the masks.
        rows: Int "y", the image's row for each row of the frame, non-decreasing.
        columns: Int "x", the image's column for each column of the frame, in any order
            (decreasing for a flip).
    """

    size: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray


def nearest(
    length: int, resized: int, start: int = 0, stop: int | None = None
) -> Int[np.ndarray, " n"]:
    """Returns the source index of each pixel of a row or column resized by nearest neighbour.

    Args:
        length: Length of the original.
        resized: Length after resizing.
        start: First resized pixel.
        stop: One after the last resized pixel; the end by default.

    Returns:
        `floor((i + 0.5) * length / resized)`, exact. Pillow's NEAREST is the same
        except that it rounds ties down.
    """
    indices = np.arange(start, resized if stop is None else stop)
    # In integers: floating point would round some of the ties the other way.
    return (2 * indices + 1) * length // (2 * resized)


def boundaries_of_masks(
    masks: Bool[np.ndarray, "m s w"],
    left: int = 0,
    visible: tuple[int, int] | None = None,
) -> Boundaries:
    """Computes the run boundaries of dense masks in the training frame.

    Args:
        masks: Adjacent columns of the frame, with all of their rows.
        left: The first of these columns.
        visible: h, w of the part of the frame that is not padding; masks are False in
            the padding. None for all.
    """
    count, side, width = masks.shape
    height, end = visible or (side, side)
    # A False pixel at both ends, so that a run there has boundaries too.
    columns = np.zeros((count, side * width + 2), bool)
    columns[:, 1:-1] = masks.swapaxes(1, 2).reshape(count, side * width)
    mask, position = np.nonzero(columns[:, 1:] != columns[:, :-1])
    position += left * side
    row = position % side
    position += np.where(row >= height, side - row, 0)
    # Still sorted, but a run that reached the bottom of a column and one from the top
    # of the next now have equal boundaries, which cancel.
    keys = mask * (side * side + side) + position
    kept = _odd_occurrences(keys)
    kept = kept[position[kept] < end * side]
    return Boundaries(
        mask[kept].astype(np.int32),
        position[kept].astype(np.int32),
        np.ones(count, bool),
    )


def cut_boundaries(
    boundaries: Boundaries, covered: Int[np.ndarray, " n"]
) -> Boundaries:
    """Subtracts one mask from each of several others.

    Args:
        boundaries: Boundaries of the others.
        covered: Positions of the boundaries of the mask to subtract, distinct and
            sorted.
    """
    count, cover_count = len(boundaries.good), len(covered)
    # A sweep over the merged boundaries of each mask and the cover, which tracks by
    # parity whether a position is inside the mask and under the cover.
    mask = np.concatenate([boundaries.mask, np.repeat(np.arange(count), cover_count)])
    position = np.concatenate([boundaries.position, np.tile(covered, count)])
    is_cover = np.arange(len(mask)) >= len(boundaries.mask)
    keys = mask.astype(np.int64) << 32 | position
    order = np.argsort(keys, kind="stable")
    keys, mask, is_cover = keys[order], mask[order], is_cover[order]
    own = np.bincount(boundaries.mask, minlength=count)
    own_before = np.cumsum(own) - own
    inside = (np.cumsum(~is_cover) - own_before[mask]) & 1
    under = (np.cumsum(is_cover) - cover_count * mask) & 1
    # The state at a position is that after the last of its boundaries.
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
    """Maps boundaries to the training frame, as if each mask were resized and cropped.

    Returns:
        Boundaries in the frame, distinct per mask; masks that are empty in the frame
        have none.
    """
    height = window.size[0]
    seen, order = np.unique(window.columns, return_inverse=True)
    column = boundaries.position // np.int32(height)
    row = boundaries.position - column * np.int32(height)
    # Lookup tables: the number of rows (columns) of the frame before each of the image.
    rows_before = np.searchsorted(window.rows, np.arange(height + 1))
    # Below the last visible row is the top of the next column.
    rows_before[rows_before == len(window.rows)] = side
    columns_before = np.searchsorted(seen, np.arange(window.size[1] + 1))
    is_seen = np.diff(columns_before, append=columns_before[-1]) > 0
    # A boundary in a column that is not sampled moves to the next one that is.
    position = columns_before.astype(np.int32)[column] * np.int32(side)
    position += np.where(is_seen[column], rows_before.astype(np.int32)[row], 0)
    mask, end = boundaries.mask, len(window.columns) * side
    # Keys sort by mask, then position. The lookup keeps the order; a flip does not.
    keys = mask.astype(np.int64) * (end + 1) + np.minimum(position, end)
    if not np.array_equal(order, np.arange(len(order))):
        mask, position = _arrange_columns(
            mask, position, order, side, len(boundaries.good)
        )
        keys = np.sort(mask.astype(np.int64) * (end + 1) + position)
        mask, position = np.divmod(keys, end + 1)
    kept = _odd_occurrences(keys)
    kept = kept[position[kept] < end]
    return Boundaries(
        mask[kept].astype(np.int32), position[kept].astype(np.int32), boundaries.good
    )


def mask_areas(
    boundaries: Boundaries, visible: tuple[int, int], side: int
) -> Int[np.ndarray, " m"]:
    """Returns the area in pixels of each mask in the training frame.

    Args:
        boundaries: Boundaries in the frame.
        visible: h, w of the part of the frame that is not padding.
        side: Side of the frame.
    """
    counts = np.bincount(boundaries.mask, minlength=len(boundaries.good))
    unpadded = _without_padding(boundaries.position, visible[0], side)
    # The area is the alternating sum of ends and starts, differences of one cumulative
    # sum over all masks; an odd count means that the last run ends with the image.
    sums = np.append(0, np.cumsum(_signs(counts) * unpadded))
    stops = np.cumsum(counts)
    area = sums[stops] - sums[stops - counts]
    return area + np.where(counts % 2 == 1, visible[0] * visible[1], 0)


def drop_short_runs(
    boundaries: Boundaries, most: int, visible: tuple[int, int], side: int
) -> tuple[Boundaries, Int[np.ndarray, " m"]]:
    """Removes the shortest runs of masks with more than `most` boundaries.

    Args:
        boundaries: Boundaries in the frame.
        most: Largest number of boundaries per mask, even.
        visible: h, w of the part of the frame that is not padding.
        side: Side of the frame.

    Returns:
        Boundaries, and the number of pixels that each mask lost.
    """
    counts = np.bincount(boundaries.mask, minlength=len(boundaries.good))
    lost = np.zeros(len(counts), np.int64)
    kept = np.ones(len(boundaries.mask), bool)
    stops = np.cumsum(counts)
    for mask in np.flatnonzero(counts > most):
        own = slice(stops[mask] - counts[mask], stops[mask])
        positions = boundaries.position[own]
        kept[own], lost[mask] = _longest_runs(positions, most, visible, side)
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
    """Writes the boundaries of selected masks into rows of a fixed length.

    Args:
        boundaries: Boundaries in the frame, at most `l` per selected mask.
        masks: Indices of the selected masks, one per row.
        rows: Output, filled with the padding `side * side` by the caller.
    """
    row_of = np.full(len(boundaries.good), -1)
    row_of[masks] = np.arange(len(masks))
    counts = np.bincount(boundaries.mask, minlength=len(boundaries.good))
    rank = _ranks_in_groups(counts)
    row = row_of[boundaries.mask]
    selected = row >= 0
    rows[row[selected], rank[selected]] = boundaries.position[selected]


def _arrange_columns(
    mask: np.ndarray, position: np.ndarray, order: np.ndarray, side: int, masks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Moves column `order[x]` to column x: flips, and repetition where images grow.

    Boundaries within a column move with it. Those at its top depend on its neighbour
    and are recomputed: there is one if the mask at the end of the column before
    differs from the mask at the start of this one.
    """
    columns = int(order.max(initial=-1)) + 1
    column, row = np.divmod(position, side)
    in_frame = column < columns
    mask, column, row = mask[in_frame], column[in_frame], row[in_frame]
    cell = mask * columns + column
    at_head = row == 0
    shape = (masks, columns)
    heads, inner = (
        np.bincount(cell[chosen], minlength=masks * columns).reshape(shape)
        for chosen in (at_head, ~at_head)
    )
    # Whether the mask is on at the start and at the end of each column, by parity.
    ends = np.cumsum(heads + inner, axis=1) & 1
    starts = (ends - inner) & 1
    arranged_ends = np.pad(ends[:, order[:-1]], ((0, 0), (1, 0)))
    head_mask, head_column = np.nonzero(starts[:, order] != arranged_ends)
    copies = np.bincount(order, minlength=columns)
    targets = np.argsort(order, kind="stable")
    first_target = np.cumsum(copies) - copies
    mask, column, row = mask[~at_head], column[~at_head], row[~at_head]
    repeats = copies[column]
    copy = _ranks_in_groups(repeats)
    moved = targets[np.repeat(first_target[column], repeats) + copy]
    positions = moved * side + np.repeat(row, repeats)
    return (
        np.concatenate([np.repeat(mask, repeats), head_mask]).astype(np.int32),
        np.concatenate([positions, head_column * side]).astype(np.int32),
    )


def _odd_occurrences(keys: np.ndarray) -> np.ndarray:
    """Returns the first index of each key that occurs an odd number of times in a sorted list.

    Two equal boundaries cancel, so only the parity of their count matters.
    """
    new = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(new, append=len(keys))
    return new[counts % 2 == 1]


def _signs(counts: np.ndarray) -> np.ndarray:
    """Returns -1 for boundaries at which a run begins, 1 for those at which it ends."""
    return 2 * (_ranks_in_groups(counts) & 1) - 1


def _ranks_in_groups(counts: np.ndarray) -> np.ndarray:
    """Returns 0, 1, 2, ... within each of several consecutive groups of given lengths."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _without_padding(positions: np.ndarray, height: int, side: int) -> np.ndarray:
    """Converts positions in the frame to positions in its visible part alone."""
    column = positions // side
    # int64: areas are sums of positions.
    return positions.astype(np.int64) - column * (side - height)


def _longest_runs(
    positions: np.ndarray, most: int, visible: tuple[int, int], side: int
) -> tuple[np.ndarray, int]:
    """Returns which boundaries of a mask to keep, and the total length of the other runs."""
    end = visible[1] * side
    pairs = np.append(positions, [end] * (len(positions) % 2)).reshape(-1, 2)
    lengths = np.diff(_without_padding(pairs, visible[0], side), axis=1)[:, 0]
    kept = np.zeros(len(lengths), bool)
    kept[np.argsort(-lengths, kind="stable")[: most // 2]] = True
    return np.repeat(kept, 2)[: len(positions)], int(lengths[~kept].sum())
