"""Drawn scenes textured with photos: every region is filled with a crop of a photo.

The boundaries are those of the scene, exact to the pixel, between regions with the
appearance of photos.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

from samjax.data.colour import jitter_colours
from samjax.data.decode import BadImage, ImageFile
from samjax.data.examples import ExampleSource

# Photos per scene, and attempts per photo, as some may not be readable.
_PHOTOS, _TRIES = 4, 3
# Bounds of the shorter side of a photo relative to the scene, the scale of its
# textures.
_SCALES = (1.0, 1.6)
# Strength of the colour jitter of each region: two crops of one sky would otherwise
# meet at an invisible boundary.
_JITTER = 0.3


def draw_photos(
    examples: ExampleSource, side: int, rng: np.random.Generator
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Reads random photos, each resized to cover a square.

    Args:
        examples: A dataset of photos; masks are not read.
        side: Side of the square in pixels.
        rng: Source of randomness for the choice and the scales.

    Returns:
        Up to four photos; none if no attempt succeeded.
    """
    photos = []
    for _ in range(_PHOTOS * _TRIES):
        raw = examples[int(rng.integers(len(examples)))]
        scale = rng.uniform(*_SCALES)
        try:
            file = ImageFile(raw.image or b"", "upright")
            ratio = scale * side / min(file.size)
            height, width = (max(side, round(ratio * length)) for length in file.size)
            # A panorama would take many times the memory of the scene.
            if max(height, width) <= 8 * side:
                photos.append(file.read((height, width)))
        except BadImage:
            continue
        if len(photos) == _PHOTOS:
            break
    return photos


def fill_regions(
    masks: Bool[np.ndarray, "m s s"],
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "s s 3"]:
    """Fills the masks of a scene, and its background, with crops of photos.

    Pixels of the same masks form a region. Edges are blended within one pixel of a
    boundary.

    Args:
        masks: Masks, any two of them nested or disjoint.
        photos: Photos at least as large as the scene.
        rng: Source of randomness for the crops, mirroring and colours.
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
    # OpenCV's morphology has no int32.
    labels = regions.astype(np.uint16)
    at_edge = cv2.dilate(labels, around) != cv2.erode(labels, around)
    picture[at_edge] = cv2.blur(picture, (3, 3))[at_edge]
    return picture


def _regions(masks: Bool[np.ndarray, "m s s"]) -> Int[np.ndarray, "s s"]:
    """Labels each pixel with the index of its smallest mask, from 1; 0 outside all."""
    regions = np.zeros(masks.shape[1:], np.int32)
    for index in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        regions[masks[index]] = index + 1
    return regions
