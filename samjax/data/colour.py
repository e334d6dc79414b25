"""Colour augmentation: jitter of brightness, contrast and saturation, and greyscale."""

import numpy as np
from jaxtyping import UInt8

# Luma coefficients of red, green and blue (ITU-R BT.601), as in Pillow.
_GREY = np.array([0.299, 0.587, 0.114])


def jitter_colours(
    pixels: UInt8[np.ndarray, "h w 3"],
    strength: float,
    greyscale: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns an image with jittered colours.

    Saturation, brightness and contrast are each multiplied by a factor drawn uniformly
    from `1 - strength` to `1 + strength`.

    Args:
        pixels: The image.
        strength: Largest relative change of each factor, 0 to 1.
        greyscale: Probability that the saturation is set to 0 instead.
        rng: Source of randomness.
    """
    import cv2

    saturation, brightness, contrast = rng.uniform(1 - strength, 1 + strength, 3)
    if rng.random() < greyscale:
        saturation = 0.0
    # All three are affine in the pixels, so they are one matrix and one offset:
    # contrast interpolates from the image's mean grey, saturation from each pixel's own
    # grey.
    mean = float(np.dot(_GREY, cv2.mean(pixels)[:3]))
    matrix = saturation * np.eye(3) + (1 - saturation) * _GREY
    offset = np.full((3, 1), (1 - contrast) * brightness * mean)
    return cv2.transform(
        pixels, np.hstack([contrast * brightness * matrix, offset])
    ).reshape(pixels.shape)
