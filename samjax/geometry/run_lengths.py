"""Operations on run-length encoded masks, without decoding their pixels.

The runs are COCO's: zeros and ones in turn, zeros first, column by column
(`samjax.geometry.masks`). A mask has some hundreds of them, even in a very large image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8


def counts_in_larger(
    counts: Int[np.ndarray, " r"],
    size: tuple[int, int],
    corner: tuple[int, int],
    larger: tuple[int, int],
) -> Int[np.ndarray, " q"]:
    """Moves a mask into a larger, empty image.

    Args:
        counts: run lengths of the mask.
        size: (h, w) of the mask.
        corner: (top, left) of the mask in the image.
        larger: (h, w) of the image, which contains all of the mask.

    Returns:
        Run lengths in the image.
    """
    (height, _), (top, left), (rows, columns) = size, corner, larger
    ends = np.cumsum(counts)
    first, last = (ends - counts)[1::2], ends[1::2]
    first, last = first[first < last], last[first < last]
    # A run that continues in the next column is split, since columns are longer now.
    parts = (last - 1) // height - first // height + 1
    run = np.repeat(np.arange(len(first)), parts)
    part = np.arange(len(run)) - np.repeat(np.cumsum(parts) - parts, parts)
    column = first[run] // height + part
    begin = np.maximum(first[run], column * height)
    length = np.minimum(last[run], (column + 1) * height) - begin
    begin += (left + column) * rows + top - column * height
    end = begin + length
    # Parts that touch are joined again, where columns are not longer.
    is_new = np.append(True, begin[1:] != end[:-1])[: len(begin)]
    begin, end = begin[is_new], end[np.roll(is_new, -1)]
    edges = np.stack([begin, end], axis=1).ravel()
    inside = np.diff(np.concatenate([[0], edges, [rows * columns]]))
    return inside[:-1] if len(edges) and end[-1] == rows * columns else inside


def counts_of_packed(
    packed: UInt8[np.ndarray, "h8 w"],
    corner: tuple[int, int],
    larger: tuple[int, int],
) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of a bit-packed mask, moved into a larger, empty image.

    Most bytes of a mask equal the one above them, so that few are unpacked: about ten
    times as fast as unpacking all and reading pixel by pixel.

    Args:
        packed: eight rows of the mask to a byte, the uppermost in the highest bit.
        corner: (top, left) of the mask in the image.
        larger: (h, w) of the image, which contains all set pixels of the mask.

    Returns:
        Run lengths in the image.
    """
    (top, left), (height, width) = corner, larger
    # A bit differs from the one above it where a run starts or ends; all runs end below
    # the last row.
    padded = np.pad(packed, ((1, 1), (0, 0)))
    above = (padded[1:] >> np.uint8(1)) | (padded[:-1] << np.uint8(7))
    differs = np.ascontiguousarray((padded[1:] ^ above).T)
    byte = np.flatnonzero(differs != 0)
    bit = np.flatnonzero(np.unpackbits(differs.reshape(-1)[byte]))
    column, row_byte = np.divmod(byte, differs.shape[1])
    start = (left + column) * height + top + 8 * row_byte
    edges = start[bit >> 3] + (bit & 7)
    # Where a run ends with its column and one starts with the next, they are one run.
    joined = np.flatnonzero(edges[1:] == edges[:-1])
    if len(joined):
        edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    total = height * width
    counts = np.diff(np.concatenate([[0], edges, [total]]))
    return counts[:-1] if len(edges) and edges[-1] == total else counts


def where_more(
    masks: Sequence[Int[np.ndarray, " _"]], others: Sequence[Int[np.ndarray, " _"]]
) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of pixels in more of the masks than of the others.

    Args:
        masks: run lengths, all of one image; at least one.
        others: run lengths of the same image.
    """
    edges = [np.cumsum(counts)[:-1] for counts in (*masks, *others)]
    steps = [np.resize([1, -1], len(own)) for own in edges[: len(masks)]]
    steps += [np.resize([-1, 1], len(own)) for own in edges[len(masks) :]]
    position = np.concatenate(edges)
    order = np.argsort(position, kind="stable")
    position, level = position[order], np.cumsum(np.concatenate(steps)[order])
    # The level at a position is that after all its steps.
    is_last = np.diff(position, append=-1) != 0
    position, inside = position[is_last], level[is_last] > 0
    changes = position[np.diff(inside, prepend=False)]
    total = masks[0].sum()
    return np.diff(np.concatenate([[0], changes, [total]]))


def box_of_runs(
    counts: Int[np.ndarray, " r"], height: int
) -> tuple[int, int, int, int]:
    """Returns the box of a mask, XYXY, right and bottom being its last pixels'.

    An empty mask has the box (0, 0, 0, 0), as in `boxes.boxes_from_masks`.

    Args:
        counts: run lengths of the mask; runs may have length 0.
        height: of the image.
    """
    ends = np.cumsum(counts)
    first, last = ends[: len(ends) // 2 * 2].reshape(-1, 2).T - [[0], [1]]
    first, last = first[first <= last], last[first <= last]
    if not first.size:
        return 0, 0, 0, 0
    left, right = int(first[0]) // height, int(last[-1]) // height
    if (first // height != last // height).any():
        # A run spans the bottom of a column and the top of the next.
        return left, 0, right, height - 1
    return left, int((first % height).min()), right, int((last % height).max())
