"""A photo of coloured things, and stand-ins for everything mode that know what is shown."""

import numpy as np
from inference.scenes import proposals
from small_photo_set import COLORS, SIZE, TWO, draw

PHOTO = draw(TWO)


def colored(image, config=None) -> list[np.ndarray]:
    """The masks of all colours that are shown."""
    masks = [(image == color).all(axis=2) for color in COLORS]
    return [mask for mask in masks if mask.any()]


def window_of(image) -> tuple[int, int, int, int]:
    """All of an image."""
    return 0, 0, image.shape[1], image.shape[0]


def find_colors(predictor, image, config, embed=None):
    """Finds things wherever they are shown."""
    return proposals(colored(image), window_of(image))


def find_left_half(predictor, image, config, embed=None):
    """Finds what lies on the left, whatever it is: an artefact of the frame."""
    mask = np.zeros(image.shape[:2], bool)
    mask[:, : image.shape[1] // 2] = True
    return proposals([mask], window_of(image))


def both(predictor, image, config, embed=None):
    """Finds things and the artefact."""
    return [*find_colors(predictor, image, config), *find_left_half(None, image, None)]


__all__ = ["PHOTO", "SIZE", "TWO", "both", "colored", "find_colors", "find_left_half"]
