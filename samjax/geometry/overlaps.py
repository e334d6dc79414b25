"""Relations between the masks of one image: intersections, IoU, NMS, containment.

Masks are run lengths in COCO's form (`samjax.geometry.masks`), so that hundreds of masks
of millions of pixels are compared without being decoded. The matrix of `intersections`
is computed once, and is an argument of the other functions.

Of two masks of equal area, the earlier counts as the larger: of two equal masks the
later is the part, and is drawn on top, as in `samjax.visualize.draw_masks`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Int32, Real

# Whole numbers too, since people write 0 and 1.
Number = float | int

# Pairs of runs that are held in memory at a time, in arrays of 4 MB.
_PAIRS_AT_ONCE = 1 << 19


def intersections(
    counts: Sequence[Int[np.ndarray, " _"]], size: tuple[int, int]
) -> Int[np.ndarray, "k k"]:
    """Returns the number of pixels that every two masks share.

    The diagonal has the areas. Time is proportional to the number of runs, and of pairs
    of runs that overlap; disjoint masks take none.

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

    # A run overlaps exactly those runs after it, by start, that start before it ends.
    overlapping = np.searchsorted(starts, ends) - np.arange(1, len(starts) + 1)
    before = np.concatenate([[0], np.cumsum(overlapping)])
    shared = np.zeros(k * k)
    first = 0
    while first < len(starts):
        enough = before[first] + _PAIRS_AT_ONCE
        stop = max(first + 1, int(np.searchsorted(before, enough, "right")) - 1)
        part = slice(first, stop)
        following = np.arange(before[first], before[stop])
        repeats = overlapping[part]
        following += np.repeat(np.arange(first, stop) + 1 - before[part], repeats)
        overlap = np.repeat(ends[part], repeats)
        overlap = np.minimum(overlap, ends[following]) - starts[following]
        pair = np.repeat(owners[part] * k, repeats) + owners[following]
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


def mask_nms(
    shared: Int[np.ndarray, "k k"],
    scores: Real[np.ndarray, " scores"],
    threshold: Number,
) -> Int[np.ndarray, " kept"]:
    """Non-maximum suppression by the IoU of masks.

    Greedy, as NMS of boxes: from the highest score down, a mask is kept unless its IoU
    with a mask kept before is strictly above the threshold. Of equal scores the first
    comes first. Empty masks have IoU 0 with all, and are kept.

    Args:
        shared: from `intersections`.
        scores: of the masks.
        threshold: between 0 and 1; 1 keeps all masks.

    Returns:
        The indices of the masks that are kept, ascending: in the order of the arguments,
        not by score.

    Raises:
        ValueError: scores and masks differ in number, or the threshold is not from 0
            to 1.
    """
    if len(scores) != len(shared) or np.isnan(scores).any():
        raise ValueError(
            f"got {len(scores)} scores ({int(np.isnan(scores).sum())} of them NaN) for "
            f"{len(shared)} masks, expected a number for each"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"got {threshold=}, expected an IoU from 0 to 1")
    is_duplicate = pairwise_iou(shared) > threshold
    kept = np.zeros(len(shared), bool)
    for index in _descending(scores):
        kept[index] = not is_duplicate[index, kept].any()
    return np.flatnonzero(kept)


def containment_tree(
    shared: Int[np.ndarray, "k k"], threshold: Number = 0.9
) -> Int[np.ndarray, " k"]:
    """Returns the parent of every mask: the smallest larger mask that contains it.

    Of equal areas the earlier counts as the larger, so there are no cycles: every
    parent is larger than its child, or as large and earlier. An empty mask has no
    parent.

    Args:
        shared: from `intersections`.
        threshold: share of a mask's pixels that a larger one must contain to be its
            parent, above 0 and up to 1.

    Returns:
        The index of every mask's parent, -1 for a mask without one.

    Raises:
        ValueError: the threshold is not above 0 and up to 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"got {threshold=}, expected a share above 0 and up to 1")
    areas = np.diagonal(shared)
    order = _descending(areas)
    # Divided, not multiplied: 55 / 100 is 0.55, but 0.55 * 100 is more than 55.
    is_in = shared[np.ix_(order, order)] / np.maximum(areas[order], 1) >= threshold
    is_in = np.triu(is_in, 1)
    # The last in the order is the smallest.
    last = len(order) - 1 - is_in[::-1].argmax(axis=0) if len(order) else order
    parents = np.full(len(order), -1)
    parents[order] = np.where(is_in.any(axis=0), order[last], -1)
    return parents


def depths(parents: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Returns the depth of every mask: 0 for a whole, 1 a part, 2 a part of a part.

    Args:
        parents: from `containment_tree`.

    Raises:
        ValueError: a parent is no index of a mask, or a mask is its own ancestor.
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
    """Draws all masks in one label map, the smaller over the larger.

    Of equal areas the later is on top.

    Args:
        counts: run lengths of every mask, column by column, zeros first.
        size: (h, w) of the masks.

    Returns:
        1 + the index of the smallest mask that covers the pixel, 0 for the background.

    Raises:
        ValueError: the runs of a mask do not add up to h * w; the mask is named.
    """
    runs = _runs_of_ones(counts, size)
    height, width = size
    columns = np.zeros(height * width, np.int32)
    areas = np.array([np.diff(own).sum() for own in runs], np.int64)
    for index in _descending(areas):
        for start, end in runs[index].tolist():
            columns[start:end] = index + 1
    return np.ascontiguousarray(columns.reshape(width, height).T)


def _descending(values: Real[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Returns indices by descending value, of equal values the first first."""
    # Not argsort(-values): negation wraps around for unsigned numbers.
    return len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]


def _runs_of_ones(
    counts: Sequence[Int[np.ndarray, " _"]], size: tuple[int, int]
) -> list[Int[np.ndarray, "_ 2"]]:
    """Returns start and stop of every run of ones, by mask."""
    pixels = size[0] * size[1]
    if min(size) < 0:
        raise ValueError(f"got masks of {size=}, expected (h, w), neither negative")
    runs = []
    for index, lengths in enumerate(counts):
        ends = np.cumsum(lengths, dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        smallest = int(lengths.min(initial=0))
        # A damaged sum may overflow and still match in the end; it is negative before.
        if smallest < 0 or ends.min(initial=0) < 0 or total != pixels:
            raise ValueError(
                f"got runs of mask {index} of {len(counts)} (counted from 0) that add "
                f"up to {total} (smallest {smallest}) for {size=}, expected {pixels} "
                "pixels: the mask is damaged, or is of another image"
            )
        own = ends[: len(ends) // 2 * 2].reshape(-1, 2)
        runs.append(own[own[:, 0] < own[:, 1]])
    return runs
