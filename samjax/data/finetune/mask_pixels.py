"""Objects from the pixels of a mask file, and rejection of files that are not masks.

A clean label map has few levels, each of which fills regions. Anti-aliased edges of
graphics programs and the noise of lossy formats add many levels, most of them in thin
seams between others; taken as labels, each would be an object of some pixels. Such a
file is one object, thresholded at half of its brightest level, if all of it but the
seams is dark or bright; any other is rejected with a description of its levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer

# Maps whose brightest level is below this have label ids, not grey levels of an edge.
_LEAST_BRIGHT = 64

# Largest deviation of JPEG's pixels in a region of one level.
_NOISE = 12

# Values for "not labelled" in label maps of classes, as 255 in VOC, Cityscapes and
# COCO-Stuff. A map is of classes if its smallest label is below the first and its
# largest below the second of these bounds.
_VOID_LEVELS = (255, 65535)
_CLASSES = (64, 201)


class Levels(NamedTuple):
    """The pixels of a mask file.

    Attributes:
        labels: The pixels as labels, 0 for background.
        brightness: The pixels as displayed brightness, which orders the labels.
        colours: The pixels as colours, or None for a grey file.
        is_lossy: Whether the file format is lossy.
    """

    labels: Int[np.ndarray, "h w"]
    brightness: Int[np.ndarray, "h w"]
    colours: Int[np.ndarray, "h w 3"] | None
    is_lossy: bool


class Objects(NamedTuple):
    """The objects of a mask file.

    Attributes:
        labels: 0 on the background, k on object k.
        notes: Remarks on how the file was interpreted.
    """

    labels: Int[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


def levels_of(
    values: Integer[np.ndarray, "h w"],
) -> Integer[np.ndarray, " n"]:
    """Returns the distinct values of a map, sorted."""
    if values.size and values.min() >= 0 and values.max() < 1 << 16:
        # Counting is linear; `np.unique` sorts all pixels.
        return np.flatnonzero(np.bincount(values.reshape(-1)))
    return np.unique(values)


def find_labels(levels: Levels) -> Objects:
    """Finds the objects in a file that may be a label map.

    Raises:
        ValueError: It is neither a label map nor a mask of one object.
    """
    if levels.labels.min() == levels.labels.max():
        return _uniform(levels.labels)
    if not _is_graded(levels):
        return _without_void(levels.labels)
    return Objects(*_bright_object(levels, is_one=False))


def find_object(levels: Levels) -> Objects:
    """Finds the object of a single-object file: pixels above half of the brightest level.

    Raises:
        ValueError: The file has several objects, or its levels are ambiguous.
    """
    if levels.labels.min() == levels.labels.max():
        return _uniform(levels.labels)
    object_, notes = _bright_object(levels, is_one=True)
    return Objects(object_, notes)


def _uniform(labels: Int[np.ndarray, "h w"]) -> Objects:
    level = int(labels[0, 0])
    if level == 0:
        return Objects(labels, ("every pixel is 0: it has no object",))
    return Objects(
        np.ones_like(labels),
        (f"every pixel has the level {level}: its object is the whole image",),
    )


def _is_graded(levels: Levels) -> bool:
    """Whether levels are grey levels (smooth edges, noise) rather than labels."""
    labels, brightness = levels.labels, levels.brightness
    present = levels_of(labels)
    present = present[present != 0]
    if levels.is_lossy:
        return True
    if len(present) < 2:
        return False
    interior = _interior(labels)
    if int(brightness.max()) >= _LEAST_BRIGHT:
        is_clean = np.isin(present, labels[interior])
        seams = _seams(labels, brightness, present) & ~is_clean
        specks = ~is_clean & ~seams
        if seams.sum() >= max(1, is_clean.sum() + specks.sum()):
            return True
    return _is_noisy(brightness, interior) or _is_gradient(brightness)


def _is_noisy(
    brightness: Int[np.ndarray, "h w"], interior: Bool[np.ndarray, "h w"]
) -> bool:
    """Whether there are several levels near dark and near bright, and none between."""
    top = int(brightness.max())
    noise = top // 10
    present, counts = np.unique(brightness, return_counts=True)
    dark, bright = counts[present <= noise], counts[present >= top - noise]
    # Few levels could be labels: two at each end suffice only if the rest is rare.
    least = 2 if dark.max(initial=0) + bright.max() >= 0.95 * brightness.size else 3
    if top < _LEAST_BRIGHT or min(len(dark), len(bright)) < least:
        return False
    half = (2 * brightness > top).sum()
    between = (brightness > noise) & (brightness < top - noise)
    is_empty = (between & interior).sum() <= 0.02 * half
    return bool(is_empty and bright.sum() >= 0.5 * half)


def _seams(
    labels: Int[np.ndarray, "h w"],
    brightness: Int[np.ndarray, "h w"],
    present: Int[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Returns which labels lie between darker and brighter pixels nearly everywhere."""
    padded = np.pad(brightness, 1, mode="edge")
    height, width = labels.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    lowest, highest = around[0].copy(), around[0].copy()
    for shifted in around[1:]:
        np.minimum(lowest, shifted, out=lowest)
        np.maximum(highest, shifted, out=highest)
    between = (lowest < brightness) & (brightness < highest)
    index = np.searchsorted(present, labels[labels != 0])
    total = np.bincount(index, minlength=len(present))
    inside = np.bincount(index, weights=between[labels != 0], minlength=len(present))
    return inside >= 0.6 * total


def _interior(
    levels: Int[np.ndarray, "h w"], noise: int = 0
) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels that equal their four neighbours, within `noise`."""
    same_rows = np.abs(np.diff(levels, axis=0)) <= noise
    same_columns = np.abs(np.diff(levels, axis=1)) <= noise
    inside = np.ones(levels.shape, bool)
    inside[1:] &= same_rows
    inside[:-1] &= same_rows
    inside[:, 1:] &= same_columns
    inside[:, :-1] &= same_columns
    return inside


def _is_gradient(brightness: Int[np.ndarray, "h w"]) -> bool:
    """Whether many levels change in small steps: the edge of a wide blur."""
    small = max(3, 2 * int(brightness.max()) // 255)
    if len(levels_of(brightness)) < 32:
        return False
    steps = np.concatenate(
        [np.abs(np.diff(brightness, axis=axis)).reshape(-1) for axis in (0, 1)]
    )
    steps = steps[steps > 0]
    return bool((steps <= small).mean() >= 0.9)


def _bright_object(
    levels: Levels, *, is_one: bool
) -> tuple[Int[np.ndarray, "h w"], tuple[str, ...]]:
    """Returns the object of a file, the pixels above half of the brightest level.

    Args:
        levels: The pixels of the file.
        is_one: Whether the file is known to have a single object, so that edges may
            have any width.

    Raises:
        ValueError: Levels between dark and bright fill regions, or there are several
            colours.
    """
    brightness = levels.brightness.astype(np.int64)
    top = int(brightness.max())
    if levels.is_lossy and top < _LEAST_BRIGHT:
        raise ValueError(
            f"has levels of 0 to {top} in a format that changes levels (JPEG, WebP): "
            "which of them are objects is lost. Save masks as PNG"
        )
    bright = 2 * brightness > top
    level_count = len(levels_of(levels.labels))
    is_two = _is_bright_on_dark(brightness, bright, levels.is_lossy)
    if is_one and not levels.is_lossy:
        # A map of probabilities is one object too; a map of several labels is not.
        is_two = is_two or _is_graded(levels)
    if not is_two or not _is_one_colour(levels, bright):
        raise ValueError(_rejection(levels, level_count, is_one))
    has_seams = level_count > 2
    note = (
        f"has {level_count} levels, most of them in edges: it is taken for one object, "
        f"which is above half of the brightest, {top}"
    )
    return bright.astype(np.int32), (note,) if has_seams and not is_one else ()


def _is_bright_on_dark(
    brightness: Int[np.ndarray, "h w"], bright: Bool[np.ndarray, "h w"], is_lossy: bool
) -> bool:
    """Whether nothing but edges lies between dark and bright."""
    top = int(brightness.max())
    ends = (4 * brightness < top) | (4 * brightness > 3 * top)
    if ends.mean() < 0.5:
        return False
    noise = max(top // 8, 2 * _NOISE) if is_lossy else top // 10
    between = (brightness > noise) & (brightness < top - noise)
    if _is_gradient(brightness):
        # The levels of a wide blur fill regions too, but only small ones.
        counts = np.unique(brightness[between], return_counts=True)[1]
        return bool(counts.max(initial=0) <= 0.1 * bright.sum())
    flat = _interior(brightness, noise if is_lossy else 0)
    return bool((flat & between).sum() <= 0.02 * bright.sum())


def _is_one_colour(levels: Levels, bright: Bool[np.ndarray, "h w"]) -> bool:
    """Whether all bright pixels have the same colour, edges excepted."""
    if levels.colours is None:
        return True
    inside = bright & _interior(levels.labels)
    colours = levels.colours[inside if inside.any() else bright].astype(np.int64)
    distance = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    return bool((distance <= 64).mean() >= 0.98)


def _rejection(levels: Levels, level_count: int, is_one: bool) -> str:
    kind = "levels" if levels.colours is None else "colours"
    if levels.is_lossy:
        return (
            f"has {level_count} {kind} in a format that changes them (JPEG, WebP), more than "
            "dark and bright: which are objects is lost. Save label maps as PNG"
        )
    if is_one:
        return (
            f"has {level_count} {kind}, expected one object, bright on dark: for a label map "
            "give the file the name of its image"
        )
    return (
        f"has {level_count} {kind}, most of them in thin seams between others: it was "
        "smoothed, resized or saved as JPEG once, or is a picture. Make the label map "
        "anew without smoothing (nearest neighbour), or save a file for each object"
    )


def _without_void(labels: Int[np.ndarray, "h w"]) -> Objects:
    """Removes the values for "not labelled" in label maps of classes: 255, and -1."""
    notes = []
    if labels.min() < 0:
        labels = np.where(labels < 0, 0, labels)
        notes.append("has negative levels, which are taken for not labelled")
    top = int(labels.max())
    if top not in _VOID_LEVELS:
        return Objects(labels, tuple(notes))
    others = levels_of(labels)
    others = others[(others != 0) & (others != top)]
    if not len(others):
        return Objects(labels, tuple(notes))
    are_classes = others[0] < _CLASSES[0] and others[-1] < _CLASSES[1]
    if not are_classes or _are_even(others, top):
        return Objects(labels, tuple(notes))
    notes.append(
        f"has {top} beside small numbers, which is taken for not labelled (VOC's void): "
        "give an object another number"
    )
    return Objects(np.where(labels == top, 0, labels), tuple(notes))


def _are_even(others: Int[np.ndarray, " n"], top: int) -> bool:
    """Whether labels are spaced evenly up to `top`, as in label maps made for viewing."""
    count = len(others) + 1
    even = np.arange(1, count) * (top / count)
    return count <= 32 and bool(np.abs(others - even).max() <= 1)
