"""Bounds on the sizes that untrusted files declare, and the variables that set them.

`SAMJAX_MAX_PIXELS` is the largest number of pixels of an image that is decoded whole,
`SAMJAX_MAX_BYTES` that of the bytes of a file or an array; 0 removes the bound. Worker
processes inherit both.
"""

from __future__ import annotations

import os

from PIL import Image

PIXELS = "SAMJAX_MAX_PIXELS"
BYTES = "SAMJAX_MAX_BYTES"


def max_pixels() -> int | None:
    """Returns the bound on pixels of an image that is decoded whole; None for no bound.

    It is `SAMJAX_MAX_PIXELS` if that is set, otherwise Pillow's guard against
    decompression bombs, `PIL.Image.MAX_IMAGE_PIXELS`, about 89 million.

    Raises:
        ValueError: The variable is not a number.
    """
    bound = _variable(PIXELS)
    if bound is not None:
        # Pillow checks images itself when it opens them, and raises at twice this
        # value.
        Image.MAX_IMAGE_PIXELS = bound or None
    return Image.MAX_IMAGE_PIXELS


def max_bytes(usual: int) -> int:
    """Returns the bound on bytes to read, `usual` unless `SAMJAX_MAX_BYTES` raises it.

    Args:
        usual: A bound that every known sound file stays below.

    Raises:
        ValueError: The variable is not a number.
    """
    bound = _variable(BYTES)
    if bound is None:
        return usual
    # Larger than any file, and still an int64.
    return max(usual, bound) if bound else 1 << 62


def check_pixels(width: int, height: int, name: str) -> None:
    """Checks that an image is not too large to be decoded whole.

    Raises:
        TooManyPixels: It is too large.
    """
    bound = max_pixels()
    if bound is not None and width * height > bound:
        raise TooManyPixels(name, width * height, f"{width} x {height}", bound)


class BadImage(ValueError):
    """A file cannot be read as an image; the message has the remedy."""


class TooManyPixels(BadImage):
    """An image is larger than the bound on pixels.

    Args:
        name: Name of the file.
        pixels: Number of pixels.
        size: The same as text, such as width x height.
        bound: Largest number of pixels allowed.
    """

    def __init__(self, name: str, pixels: int, size: str, bound: int | None):
        super().__init__(
            f"got {name} of {size} pixels, expected at most {bound} pixels in all, a "
            f"guard against decompression bombs: set {PIXELS}={pixels} to allow it "
            "(samjax segment, everything and serve have --max-pixels)"
        )


def _variable(name: str) -> int | None:
    text = os.environ.get(name, "").strip().replace("_", "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise ValueError(
            f"got {name}={text!a:.40}, expected a whole number, such as 200000000, or 0 "
            "for no bound"
        )
    return int(text)
