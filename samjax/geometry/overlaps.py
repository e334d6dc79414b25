"""Relations between the masks of one image: what they share, and what is part of what.

Masks are run lengths in COCO's form (`samjax.geometry.masks`), so that hundreds of masks
of millions of pixels are compared without being unpacked. Ask `intersections` once, and
give its matrix to the others.

Where one mask has to count as the larger, of equal areas it is the earlier: of two equal
masks the later is the part, and it lies on top, as in `samjax.visualize.draw_masks`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Int32, Real

# Whole numbers too, since people write 0 and 1.
Number = float | int

# Pairs of runs that are held at a time, in arrays of 4 MB.
_PAIRS_AT_ONCE = 1 << 19


def intersections(
    counts: Sequence[Int[np.ndarray, " _"]], size: tuple[int, int]
) -> Int[np.ndarray, "k k"]:
    """Returns the number of pixels that every two masks share.

    The diagonal has the areas. Time goes with the number of runs, and of pairs of runs
    that overlap; masks that lie apart cost nothing.

    Args:
        counts: run lengths of every mask, column by column, zeros first.
        size: (h, w) of the masks.

    Raises:
        ValueError: the runs of a mask do not add up to h * w; the mask is named.
    """
    k = len(counts)
    runs = _runs_of_ones(counts, size)
    owners = np.repeat(np.arange(k), np.array([len(own) for own in runs], int))
    starts, ends = np.concatenate([np.zeros((0, 2), np.int64), *runs]).T
    areas = np.bincount(owners, ends - starts, minlength=k)
    order = np.argsort(starts, kind="stable")
    starts, ends, owners = starts[order], ends[order], owners[order]

    # A run overlaps just those runs after it, by start, that start before it ends.
    number = np.searchsorted(starts, ends) - np.arange(1, len(starts) + 1)
    before = np.concatenate([[0], np.cumsum(number)])
    shared = np.zeros(k * k)
    first = 0
    while first < len(starts):
        enough = before[first] + _PAIRS_AT_ONCE
        stop = max(first + 1, int(np.searchsorted(before, enough, "right")) - 1)
        part = slice(first, stop)
        following = np.arange(before[first], before[stop])
        following += np.repeat(np.arange(first, stop) + 1 - before[part], number[part])
        overlap = np.repeat(ends[part], number[part])
        overlap = np.minimum(overlap, ends[following]) - starts[following]
        pair = np.repeat(owners[part] * k, number[part]) + owners[following]
        shared += np.bincount(pair, overlap, minlength=k * k)
        first = stop
    # Sums in float64 are exact: no image has 2**53 pixels.
    shared = shared.reshape(k, k)
    return (shared + shared.T + np.diag(areas)).astype(np.int64)


def pairwise_iou(shared: Int[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Returns the intersection over union of every two masks.

    Two empty masks have 0, never NaN.

    Args:
        shared: from `intersections`.
    """
    areas = np.diagonal(shared)
    union = areas[:, None] + areas[None, :] - shared
    return shared / np.maximum(union, 1)


def suppress_doubles(
    shared: Int[np.ndarray, "k k"],
    scores: Real[np.ndarray, " scores"],
    threshold: Number,
) -> Int[np.ndarray, " kept"]:
    """Keeps, of masks that are nearly the same, the one with the highest score.

    Greedy, as non-maximal suppression of boxes: from the highest score down, a mask is
    kept unless its IoU with a mask kept before is strictly above the threshold. Of equal
    scores the first comes first. Empty masks overlap nothing, and are kept.

    Args:
        shared: from `intersections`.
        scores: of the masks.
        threshold: between 0 and 1; 1 suppresses nothing.

    Returns:
        The indices of the masks that are kept, ascending: in the order in which the
        masks were given, not by score.

    Raises:
        ValueError: there is not one number for each mask, or the threshold is not from
            0 to 1.
    """
    if len(scores) != len(shared) or np.isnan(scores).any():
        raise ValueError(
            f"got {len(scores)} scores ({int(np.isnan(scores).sum())} of them NaN) for "
            f"{len(shared)} masks, expected a number for each"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"got {threshold=}, expected an IoU from 0 to 1")
    is_double = pairwise_iou(shared) > threshold
    kept = np.zeros(len(shared), bool)
    for index in _falling(scores):
        kept[index] = not is_double[index, kept].any()
    return np.flatnonzero(kept)


def containment_tree(
    shared: Int[np.ndarray, "k k"], threshold: Number = 0.9
) -> Int[np.ndarray, " k"]:
    """Finds for every mask the smallest larger mask that it is part of.

    Of equal areas the earlier counts as the larger, so there are no cycles: every
    parent is larger than its child, or as large and earlier. An empty mask is part of
    nothing.

    Args:
        shared: from `intersections`.
        threshold: share of a mask's pixels that have to lie in a larger one for it to
            be a part, above 0 and up to 1.

    Returns:
        The index of every mask's parent, -1 for a mask that is part of nothing.

    Raises:
        ValueError: the threshold is not above 0 and up to 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"got {threshold=}, expected a share above 0 and up to 1")
    areas = np.diagonal(shared)
    order = _falling(areas)
    # Divided, not multiplied: 7 of 10 pixels are 0.7, but 0.7 of 10 is more than 7.
    is_in = shared[np.ix_(order, order)] / np.maximum(areas[order], 1) >= threshold
    is_in = np.triu(is_in, 1)
    # The last in the order is the smallest.
    last = len(order) - 1 - is_in[::-1].argmax(axis=0) if len(order) else order
    parents = np.full(len(order), -1)
    parents[order] = np.where(is_in.any(axis=0), order[last], -1)
    return parents


def depths(parents: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Returns how deep every mask lies: 0 for a whole, 1 a part, 2 a part of a part.

    Args:
        parents: from `containment_tree`.

    Raises:
        ValueError: a parent is no mask, or a mask lies in itself.
    """
    k = len(parents)
    for index in np.flatnonzero((parents < -1) | (parents >= k)):
        raise ValueError(
            f"got parent {parents[index]} of mask {index}, expected -1 to {k - 1}: "
            "take the parents of all masks of an image"
        )
    depth = np.zeros(k, np.int64)
    ancestors = parents
    while (ancestors >= 0).any():
        depth += ancestors >= 0
        if depth.max() >= k:
            raise ValueError(
                f"got parents by which mask {depth.argmax()} lies in itself, or in one "
                "that does; expected a tree, as containment_tree makes it"
            )
        ancestors = np.where(ancestors >= 0, parents[ancestors], -1)
    return depth


def label_map(
    counts: Sequence[Int[np.ndarray, " _"]], size: tuple[int, int]
) -> Int32[np.ndarray, "h w"]:
    """Lays all masks in one flat map, the smaller over the larger.

    Of equal areas the later lies on top.

    Args:
        counts: run lengths of every mask, column by column, zeros first.
        size: (h, w) of the masks.

    Returns:
        1 + the index of the smallest mask that covers the pixel, 0 where none does.

    Raises:
        ValueError: the runs of a mask do not add up to h * w; the mask is named.
    """
    runs = _runs_of_ones(counts, size)
    height, width = size
    columns = np.zeros(height * width, np.int32)
    areas = np.array([np.diff(own).sum() for own in runs], np.int64)
    for index in _falling(areas):
        for start, end in runs[index].tolist():
            columns[start:end] = index + 1
    return np.ascontiguousarray(columns.reshape(width, height).T)


def _falling(values: Real[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Indices from the largest value to the smallest, of equal ones the first first."""
    # Not the order of -values, which wraps round for unsigned numbers.
    return len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]


def _runs_of_ones(
    counts: Sequence[Int[np.ndarray, " _"]], size: tuple[int, int]
) -> list[Int[np.ndarray, "_ 2"]]:
    """The first pixel of every run of ones and the one after its last, by mask."""
    pixels = size[0] * size[1]
    if min(size) < 0:
        raise ValueError(f"got masks of {size=}, expected (h, w), neither negative")
    runs = []
    for index, lengths in enumerate(counts):
        ends = np.cumsum(lengths, dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        smallest = int(lengths.min(initial=0))
        # A damaged sum may overflow and still fit in the end; below 0 it goes first.
        if smallest < 0 or ends.min(initial=0) < 0 or total != pixels:
            raise ValueError(
                f"got runs of mask {index} of {len(counts)} (counted from 0) that add "
                f"up to {total} (smallest {smallest}) for {size=}, expected {pixels} "
                "pixels: the mask is damaged, or is of another image"
            )
        own = ends[: len(ends) // 2 * 2].reshape(-1, 2)
        runs.append(own[own[:, 0] < own[:, 1]])
    return runs
