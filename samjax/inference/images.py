"""Images in: whatever people have, to RGB uint8 of (h, w, 3).

Every rule is fixed; none looks at the values to guess what they mean:

- grey, (h, w) or (h, w, 1): the same value in all three channels;
- RGBA: alpha is dropped, not blended; the colours are used as they stand;
- 16 bits (uint16, Pillow's I;16 and I): divided by 257, so that 65535 is 255. An image
  that uses 12 of its 16 bits comes out dark: stretch it before;
- bool: False is 0, True is 255;
- other integers: as they are, when all lie in 0..255;
- palettes and other colour spaces (Pillow images and files): converted to RGB;
- floats: refused, because 0..1 and 0..255 cannot be told apart safely.

Files and Pillow images are turned upright by their EXIF orientation: prompts and masks
are in the pixels of the upright image.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from samjax.data.pixels import to_eight_bits

ImageSource = np.ndarray | Image.Image | bytes | io.IOBase | str | os.PathLike
"""An image in memory, the bytes of a file, a file that is open, or the path of one."""

SAMPLE_PHOTO = Path(__file__).parents[1] / "assets" / "coffee.jpg"
"""The photo in the package, on which models are tried."""


def read_image(
    source: ImageSource, *, as_stored: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns an image as RGB, by the rules of this module.

    A file may have at most `PIL.Image.MAX_IMAGE_PIXELS` pixels (Pillow's guard against
    decompression bombs, about 89 million; set it to None to lift the bound). This is
    checked before anything is decoded.

    Args:
        source: an array, a Pillow image, or the bytes or the path of a file that Pillow
            reads, or one that is open for reading bytes.
        as_stored: whether files and Pillow images stay as they are stored, whatever
            their EXIF orientation.

    Raises:
        ValueError: the image has a shape, type or size that cannot be used.
        FileNotFoundError: there is no such file.
    """
    if isinstance(source, Image.Image):
        return _from_pillow(source, as_stored)
    if hasattr(source, "read"):
        source = _content(source)
    if isinstance(source, bytes | bytearray | memoryview):
        source = bytes(source)
    if isinstance(source, bytes):
        return _from_file(io.BytesIO(source), "the bytes of a file", as_stored)
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source), str(source), as_stored)
    return _from_array(np.asarray(source))


def _content(file: Any) -> bytes:
    """The bytes of an open file, from where it stands."""
    content = file.read()
    if isinstance(content, str):
        raise ValueError(  # noqa: TRY004
            "got a file that is open for reading text, expected bytes: open(path, 'rb')"
        )
    return content


def _from_file(file: Path | io.BytesIO, name: str, as_stored: bool) -> np.ndarray:
    try:
        with Image.open(file) as image:
            _check_pixels(image, name)
            return _from_pillow(image, as_stored)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(
            f"got {name}: {error} Set PIL.Image.MAX_IMAGE_PIXELS to allow it"
        ) from error
    except FileNotFoundError:
        raise
    except UnidentifiedImageError as error:
        # Its own words name the object in memory.
        raise ValueError(
            f"got {name}, which is no image that Pillow knows: expected a JPEG, PNG, "
            "TIFF or another format that it reads"
        ) from error
    except (OSError, SyntaxError) as error:
        # Pillow's own words for a damaged file: OSError, or SyntaxError for PNG.
        raise ValueError(
            f"got {name}, which cannot be read as an image ({error}): "
            "expected a whole JPEG, PNG, TIFF or another format that Pillow reads"
        ) from error


def _check_pixels(image: Image.Image, name: str) -> None:
    bound = Image.MAX_IMAGE_PIXELS
    if bound is not None and image.width * image.height > bound:
        raise ValueError(
            f"got {name} of {image.width} x {image.height} pixels, expected at most "
            f"{bound} pixels in all: set PIL.Image.MAX_IMAGE_PIXELS to allow it"
        )


def _from_pillow(image: Image.Image, as_stored: bool) -> np.ndarray:
    if not as_stored:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow gives 16-bit files as I;16 or, older formats, as 32-bit I.
        return _from_array(_sixteen_bits(np.asarray(image)))
    if image.mode == "F":
        return _from_array(np.asarray(image))
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    return np.array(image.convert("RGB"))


def _sixteen_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(
            f"got pixels in {pixels.min()}..{pixels.max()} in a Pillow image of 32-bit "
            "integers, expected 0..65535: scale them to 8 or 16 bits"
        )
    return pixels.astype(np.uint16)


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
