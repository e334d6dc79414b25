"""Reading of images in all common forms, as RGB uint8 (h, w, 3).

The rules are fixed and never depend on the values. Files and Pillow images are read by
`samjax.data.whole_images`: converted to RGB, alpha dropped and not blended, and turned
upright by their EXIF orientation; prompts and masks are in pixels of the upright image.
Rules for arrays:

- grey, (h, w) or (h, w, 1): the same value in all three channels;
- RGBA: alpha is dropped; colours are unchanged;
- uint16: divided by 257, so that 65535 is 255. An image that uses 12 of its 16 bits
  becomes dark: stretch it before;
- bool: False is 0, True is 255;
- other integers: unchanged, if all are in 0..255;
- floats: refused, because 0..1 and 0..255 cannot be distinguished safely.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from samjax.data.pixels import to_eight_bits
from samjax.data.whole_images import image_to_rgb, read_rgb

ImageSource = np.ndarray | Image.Image | bytes | io.IOBase | str | os.PathLike
"""An image in memory, the bytes of a file, an open file, or the path of one."""

SAMPLE_PHOTO = Path(__file__).parents[1] / "assets" / "coffee.jpg"
"""The sample photo in the package."""


def read_image(source: ImageSource) -> UInt8[np.ndarray, "h w 3"]:
    """Returns an image as RGB, by the rules of this module.

    A file may have at most `samjax.data.bounds.max_pixels` pixels, about 89 million;
    `SAMJAX_MAX_PIXELS` lifts the bound. It is checked before pixels are decoded. A
    `UserWarning` is given where only the first of several pages is read, and where an
    image of 16 bits is nearly black.

    Args:
        source: an array, a Pillow image, the bytes or the path of a file, or a file that
            is open for reading bytes.

    Raises:
        ValueError: the image has a shape, type or size that cannot be used.
        OSError: the file does not exist or cannot be read.
    """
    if isinstance(source, Image.Image):
        return image_to_rgb(source)
    if hasattr(source, "read"):
        source = _content(source)
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)
    if isinstance(source, bytes | str | os.PathLike):
        notes: list[str] = []
        pixels = read_rgb(source, notes=notes)
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return pixels
    return _from_array(np.asarray(source))


def _content(file: Any) -> bytes:
    """Returns the bytes of an open file from its position on."""
    content = file.read()
    if isinstance(content, str):
        raise ValueError(  # noqa: TRY004
            "got a file that is open for reading text, expected bytes: open(path, 'rb')"
        )
    return content


def _from_array(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        image = image[:, :, None]
    _check_shape(image)
    image = to_eight_bits(image)[:, :, :3]
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _check_shape(image: np.ndarray) -> None:
    if image.ndim == 3 and image.shape[2] in (1, 3, 4) and image.size:
        return
    expected = "expected (h, w, 3) RGB, (h, w, 4) RGBA, (h, w, 1) or (h, w) grey"
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.size:
        remedy = "channels come last: image.transpose(1, 2, 0)"
    elif image.ndim == 4:
        remedy = "give one image at a time, or a list of them to embed_batch"
    elif not image.size:
        remedy = "it has no pixels"
    elif image.ndim == 3 and image.shape[2] == 2:
        remedy = "grey with alpha: pass image[:, :, 0]"
    else:
        remedy = "choose three of the channels, or one"
    raise ValueError(f"got an image of shape {image.shape}, {expected}: {remedy}")
