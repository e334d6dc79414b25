"""Masks as run lengths, worked on without looking at pixels.

The runs are COCO's: of zeros and ones in turn, zeros first, column by column
(`samjax.geometry.masks`). However large an image is, a mask of it is some hundreds of
them.
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
    """Puts a mask in an empty image, without looking at pixels.

    Args:
        counts: run lengths of the mask.
        size: (h, w) of the mask.
        corner: (top, left) of the mask in the image.
        larger: (h, w) of the image, which holds all of the mask.

    Returns:
        Run lengths in the image.
    """
    (height, _), (top, left), (rows, columns) = size, corner, larger
    ends = np.cumsum(counts)
    first, last = (ends - counts)[1::2], ends[1::2]
    first, last = first[first < last], last[first < last]
    # A run that goes on in the next column is parted, since columns are longer now.
    parts = (last - 1) // height - first // height + 1
    run = np.repeat(np.arange(len(first)), parts)
    part = np.arange(len(run)) - np.repeat(np.cumsum(parts) - parts, parts)
    column = first[run] // height + part
    begin = np.maximum(first[run], column * height)
    length = np.minimum(last[run], (column + 1) * height) - begin
    begin += (left + column) * rows + top - column * height
    end = begin + length
    # Unless they are not.
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
    """Finds the runs of a mask of bits, put in an empty image.

    Most bytes of a mask are as the one above them, so that few are looked into: some
    ten times as fast as unpacking, and reading pixel by pixel.

    Args:
        packed: eight rows of the mask to a byte, the uppermost in the highest bit.
        corner: (top, left) of the mask in the image.
        larger: (h, w) of the image, which holds all that is set in the mask.

    Returns:
        Run lengths in the image.
    """
    (top, left), (height, width) = corner, larger
    # A bit differs from the one above it where a run starts or ends; below the last
    # row all ends.
    padded = np.pad(packed, ((1, 1), (0, 0)))
    above = (padded[1:] >> np.uint8(1)) | (padded[:-1] << np.uint8(7))
    differs = np.ascontiguousarray((padded[1:] ^ above).T)
    byte = np.flatnonzero(differs != 0)
    bit = np.flatnonzero(np.unpackbits(differs.reshape(-1)[byte]))
    column, place = np.divmod(byte, differs.shape[1])
    start = (left + column) * height + top + 8 * place
    edges = start[bit >> 3] + (bit & 7)
    # Where a run ends with its column and one starts with the next, it goes on.
    goes_on = np.flatnonzero(edges[1:] == edges[:-1])
    if len(goes_on):
        edges = np.delete(edges, np.concatenate([goes_on, goes_on + 1]))
    total = height * width
    counts = np.diff(np.concatenate([[0], edges, [total]]))
    return counts[:-1] if len(edges) and edges[-1] == total else counts


def where_more(
    masks: Sequence[Int[np.ndarray, " _"]], others: Sequence[Int[np.ndarray, " _"]]
) -> Int[np.ndarray, " r"]:
    """Returns the runs of the pixels that are in more of the masks than of the others.

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
    # What holds at a position is known after all steps there.
    is_last = np.diff(position, append=-1) != 0
    position, inside = position[is_last], level[is_last] > 0
    changes = position[np.diff(inside, prepend=False)]
    total = masks[0].sum()
    return np.diff(np.concatenate([[0], changes, [total]]))


def box_of_runs(
    counts: Int[np.ndarray, " r"], height: int
) -> tuple[int, int, int, int]:
    """Returns the box of a mask, XYXY with its last pixels included.

    Args:
        counts: run lengths of a mask that is not empty.
        height: of the image.
    """
    ends = np.cumsum(counts)
    first, last = ends[: len(ends) // 2 * 2].reshape(-1, 2).T - [[0], [1]]
    left, right = int(first[0]) // height, int(last[-1]) // height
    if (first // height != last // height).any():
        # A run goes from the bottom of a column to the top of the next.
        return left, 0, right, height - 1
    return left, int((first % height).min()), right, int((last % height).max())
