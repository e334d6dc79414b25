"""Bounds on what a file may claim, and how whoever meets one lifts it.

`SAMJAX_MAX_PIXELS` is the most pixels of an image that is read whole, `SAMJAX_MAX_BYTES`
the most bytes of a file or an array that is; 0 is no bound. Processes that a run starts
have the same.
"""

from __future__ import annotations

import os

from PIL import Image

PIXELS = "SAMJAX_MAX_PIXELS"
BYTES = "SAMJAX_MAX_BYTES"


def max_pixels() -> int | None:
    """Returns the most pixels of an image that is read whole; None for no bound.

    It is `SAMJAX_MAX_PIXELS` where that is set, and otherwise Pillow's guard against
    decompression bombs, `PIL.Image.MAX_IMAGE_PIXELS`, about 89 million.

    Raises:
        ValueError: the variable is no number.
    """
    given = _variable(PIXELS)
    if given is not None:
        # Pillow has its own check, at twice this, before it gives an image away.
        Image.MAX_IMAGE_PIXELS = given or None
    return Image.MAX_IMAGE_PIXELS


def max_bytes(usual: int) -> int:
    """Returns the most bytes to read where `usual` is enough for all that is known.

    `SAMJAX_MAX_BYTES` can only raise it.

    Raises:
        ValueError: the variable is no number.
    """
    given = _variable(BYTES)
    if given is None:
        return usual
    return max(usual, given) if given else 1 << 62


def check_pixels(width: int, height: int, name: str) -> None:
    """Checks that an image is not too large to be read whole.

    Raises:
        TooManyPixels: it is.
    """
    bound = max_pixels()
    if bound is not None and width * height > bound:
        raise TooManyPixels(name, width * height, f"{width} x {height}", bound)


class BadImage(ValueError):
    """A file cannot be read as an image; the message says what to do."""


class TooManyPixels(BadImage):
    """An image is larger than the bound on pixels.

    Args:
        name: of its file.
        pixels: how many it has.
        size: the same in words.
        bound: the most that it may have.
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
