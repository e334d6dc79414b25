"""From the pixels of a mask file to objects, where the file is one of masks at all.

A clean label map has few levels, each of which fills some place. What graphics programs
and lossy formats leave has many, most of them in thin seams between others: smooth
edges, the noise of JPEG. Taken as labels, each would be an object of some pixels. Here
such a file is one object, cut at half of its brightest level, where all but its seams is
dark or bright; any other is refused with what was found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer

# Fewer levels than this cannot grade an edge: such maps are labels, whatever they show.
_LEAST_BRIGHT = 64

# What pixels of JPEG may be off by where the file was of one level.
_NOISE = 12

# What stands beside the numbers of classes for "not labelled", as 255 does in VOC,
# Cityscapes and COCO-Stuff; classes begin below the first of these bounds, end below the
# second.
_VOID_LEVELS = (255, 65535)
_CLASSES = (64, 201)


class Levels(NamedTuple):
    """The pixels of a mask file.

    Attributes:
        labels: What each pixel would be in a label map, 0 for nothing.
        brightness: How bright it is shown; orders labels.
        colours: Its colour, or None in a grey file.
        is_lossy: Whether its format changes levels.
    """

    labels: Int[np.ndarray, "h w"]
    brightness: Int[np.ndarray, "h w"]
    colours: Int[np.ndarray, "h w 3"] | None
    is_lossy: bool


class Objects(NamedTuple):
    """What a mask file was understood as.

    Attributes:
        labels: 0 on nothing, k on object k.
        notes: What was not as it seems, in words.
    """

    labels: Int[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


def levels_of(
    values: Integer[np.ndarray, "h w"],
) -> Integer[np.ndarray, " n"]:
    """Returns the different values of a map, sorted: by counting, where they are small."""
    if values.size and values.min() >= 0 and values.max() < 1 << 16:
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
    """Finds the object in a file that has one: what is above half of the brightest.

    Raises:
        ValueError: The file has several objects, or its levels tell nothing.
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
    """Whether levels are of smooth edges or noise rather than labels."""
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
    present, number = np.unique(brightness, return_counts=True)
    dark, bright = number[present <= noise], number[present >= top - noise]
    # Of few levels, all but two have to be rare: they may be labels.
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
    """Which labels lie between darker and brighter ones nearly everywhere."""
    padded = np.pad(brightness, 1, mode="edge")
    height, width = labels.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    lowest, highest = around[0].copy(), around[0].copy()
    for shifted in around[1:]:
        np.minimum(lowest, shifted, out=lowest)
        np.maximum(highest, shifted, out=highest)
    between = (lowest < brightness) & (brightness < highest)
    place = np.searchsorted(present, labels[labels != 0])
    total = np.bincount(place, minlength=len(present))
    inside = np.bincount(place, weights=between[labels != 0], minlength=len(present))
    return inside >= 0.6 * total


def _interior(
    levels: Int[np.ndarray, "h w"], noise: int = 0
) -> Bool[np.ndarray, "h w"]:
    """Pixels that are as their neighbours above, below, left and right, but for noise."""
    same_rows = np.abs(np.diff(levels, axis=0)) <= noise
    same_columns = np.abs(np.diff(levels, axis=1)) <= noise
    inside = np.ones(levels.shape, bool)
    inside[1:] &= same_rows
    inside[:-1] &= same_rows
    inside[:, 1:] &= same_columns
    inside[:, :-1] &= same_columns
    return inside


def _is_gradient(brightness: Int[np.ndarray, "h w"]) -> bool:
    """Whether many levels follow one another in small steps: an edge of a wide blur."""
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
    """The object that is above half of the brightest level.

    Args:
        levels: Of the file.
        is_one: Whether the file is known to have one object, so that edges may be of
            any width.

    Raises:
        ValueError: There are levels between dark and bright that fill a place, or
            several colours.
    """
    brightness = levels.brightness.astype(np.int64)
    top = int(brightness.max())
    if levels.is_lossy and top < _LEAST_BRIGHT:
        raise ValueError(
            f"has levels of 0 to {top} in a format that changes levels (JPEG, WebP): "
            "which of them are objects is lost. Save masks as PNG"
        )
    bright = 2 * brightness > top
    number = len(levels_of(levels.labels))
    is_two = _is_bright_on_dark(brightness, bright, levels.is_lossy)
    if is_one and not levels.is_lossy:
        # A map of probabilities is one object too; several labels are not.
        is_two = is_two or _is_graded(levels)
    if not is_two or not _is_one_colour(levels, bright):
        raise ValueError(_what_it_is(levels, number, is_one))
    seams = number > 2
    words = (
        f"has {number} levels, most of them in edges: it is taken for one object, which "
        f"is above half of the brightest, {top}"
    )
    return bright.astype(np.int32), (words,) if seams and not is_one else ()


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
        # Of a wide blur all levels have places of their own, but no large ones.
        found = np.unique(brightness[between], return_counts=True)[1]
        return bool(found.max(initial=0) <= 0.1 * bright.sum())
    flat = _interior(brightness, noise if is_lossy else 0)
    return bool((flat & between).sum() <= 0.02 * bright.sum())


def _is_one_colour(levels: Levels, bright: Bool[np.ndarray, "h w"]) -> bool:
    """Whether what is bright has the same colour all over, but for its edges."""
    if levels.colours is None:
        return True
    inside = bright & _interior(levels.labels)
    found = levels.colours[inside if inside.any() else bright].astype(np.int64)
    distance = np.abs(found - np.median(found, axis=0)).max(axis=1)
    return bool((distance <= 64).mean() >= 0.98)


def _what_it_is(levels: Levels, number: int, is_one: bool) -> str:
    kind = "levels" if levels.colours is None else "colours"
    if levels.is_lossy:
        return (
            f"has {number} {kind} in a format that changes them (JPEG, WebP), more than "
            "dark and bright: which are objects is lost. Save label maps as PNG"
        )
    if is_one:
        return (
            f"has {number} {kind}, expected one object, bright on dark: for a label map "
            "give the file the name of its image"
        )
    return (
        f"has {number} {kind}, most of them in thin seams between others: it was "
        "smoothed, resized or saved as JPEG once, or is a picture. Make the label map "
        "anew without smoothing (nearest neighbour), or save a file for each object"
    )


def _without_void(labels: Int[np.ndarray, "h w"]) -> Objects:
    """Takes out what means "not labelled" in label maps of classes: 255, and -1."""
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
    """Whether labels are spread evenly up to the top, as labels made to be looked at."""
    number = len(others) + 1
    even = np.arange(1, number) * (top / number)
    return number <= 32 and bool(np.abs(others - even).max() <= 1)
