"""Colour jitter: brightness, contrast, saturation, and now and then no colour at all."""

import numpy as np
from jaxtyping import UInt8

# Of red, green and blue in grey (ITU-R BT.601), as Pillow has them.
_GREY = np.array([0.299, 0.587, 0.114])


def jitter_colours(
    pixels: UInt8[np.ndarray, "h w 3"],
    strength: float,
    greyscale: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns an image in other colours.

    Saturation, brightness and contrast are each multiplied by a number of their own,
    drawn uniformly from `1 - strength` to `1 + strength`.

    Args:
        pixels: The image.
        strength: Largest relative change of each factor, 0 to 1.
        greyscale: Chance that the saturation is 0 instead.
        rng: Decides all.
    """
    import cv2

    saturation, brightness, contrast = rng.uniform(1 - strength, 1 + strength, 3)
    if rng.random() < greyscale:
        saturation = 0.0
    mean = float(np.dot(_GREY, cv2.mean(pixels)[:3]))
    matrix = saturation * np.eye(3) + (1 - saturation) * _GREY
    offset = np.full((3, 1), (1 - contrast) * brightness * mean)
    return cv2.transform(
        pixels, np.hstack([contrast * brightness * matrix, offset])
    ).reshape(pixels.shape)
