"""Drawn scenes that wear photos: every region filled with a part of one.

The boundaries are the scene's, known to the pixel, and what is on both sides of them
looks as photos do.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

from samjax.data.colour import jitter_colours
from samjax.data.decode import BadImage, ImageFile
from samjax.data.examples import ExampleSource

# Photos that a scene is filled from, and how often another one is tried for each that
# cannot be read.
_PHOTOS, _TRIES = 4, 3
# The shorter side of a photo against that of the scene: the detail of its textures.
_SCALES = (1.0, 1.6)
# Without it, two parts of one sky would meet at a boundary that nobody sees.
_JITTER = 0.3


def draw_photos(
    examples: ExampleSource, side: int, rng: np.random.Generator
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Reads some photos at random, each resized to cover a square.

    Args:
        examples: Where they come from; masks are not looked at.
        side: Of the square.
        rng: Decides which, and how large.

    Returns:
        The photos; none where none of many could be read.
    """
    found = []
    for _ in range(_PHOTOS * _TRIES):
        raw = examples[int(rng.integers(len(examples)))]
        scale = rng.uniform(*_SCALES)
        try:
            file = ImageFile(raw.image or b"", "upright")
            ratio = scale * side / min(file.size)
            height, width = (max(side, round(ratio * length)) for length in file.size)
            # A panorama would be many times the scene.
            if max(height, width) <= 8 * side:
                found.append(file.read((height, width)))
        except BadImage:
            continue
        if len(found) == _PHOTOS:
            break
    return found


def fill_regions(
    masks: Bool[np.ndarray, "m s s"],
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "s s 3"]:
    """Fills the masks of a scene, and what is in none, with parts of photos.

    Two pixels are of one region if they are in the same masks. Edges are soft within
    one pixel of a boundary.

    Args:
        masks: Each inside, around or beside each of the others.
        photos: None smaller than the scene.
        rng: Decides which part of which photo, mirrored or not, in which colours.
    """
    import cv2

    regions = _regions(masks)
    picture = np.zeros((*regions.shape, 3), np.uint8)
    for region in np.unique(regions):
        inside = regions == region
        extents = [np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)]
        (top, bottom), (left, right) = ((e[0], e[-1] + 1) for e in extents)
        photo = photos[int(rng.integers(len(photos)))]
        y, x = (
            int(rng.integers(whole - part + 1))
            for whole, part in zip(
                photo.shape, (bottom - top, right - left), strict=False
            )
        )
        part = photo[y : y + bottom - top, x : x + right - left]
        part = part[:, ::-1] if rng.random() < 0.5 else part
        part = jitter_colours(np.ascontiguousarray(part), _JITTER, 0.0, rng)
        chosen = inside[top:bottom, left:right]
        picture[top:bottom, left:right][chosen] = part[chosen]
    around = np.ones((3, 3), np.uint8)
    shallow = regions.astype(np.uint16)
    at_edge = cv2.dilate(shallow, around) != cv2.erode(shallow, around)
    picture[at_edge] = cv2.blur(picture, (3, 3))[at_edge]
    return picture


def _regions(masks: Bool[np.ndarray, "m s s"]) -> Int[np.ndarray, "s s"]:
    """Numbers the smallest mask that each pixel is in, from 1 on; 0 in none."""
    regions = np.zeros(masks.shape[1:], np.int32)
    for index in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        regions[masks[index]] = index + 1
    return regions
