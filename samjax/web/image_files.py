"""Untrusted image files: headers, pixels, and conversions for browsers, within bounds.

Only formats whose decoders are meant for untrusted files are tried: by default Pillow
would hand PostScript, which is a program, to an interpreter.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from samjax.data.orientation import left_to_turn, upright_size
from samjax.inference.images import read_image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

# An MPO is a JPEG with further images appended; browsers show the first.
_BROWSER_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}
_BROWSER_MODES = {
    "JPEG": {"L", "RGB"},
    "MPO": {"L", "RGB"},
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA"},
    "WEBP": {"RGB", "RGBA"},
}

FileSource = Path | BinaryIO
"""An open file, or its path. The server passes open files: a path may have changed."""


class NotAnImage(ValueError):
    """A file is no image, is damaged, or has more pixels than allowed."""


class ImageHeader(NamedTuple):
    """Size and type of an image.

    Attributes:
        width: Width of the upright image.
        height: Height of the upright image.
        media_type: Media type for browsers; None if the file has to be converted.
    """

    width: int
    height: int
    media_type: str | None


def read_header(source: FileSource, most_pixels: int) -> ImageHeader:
    """Reads size and type of an image without decoding its pixels.

    Raises:
        NotAnImage: The file is no image, or has too many pixels.
    """
    with _opened(source, most_pixels) as image:
        orientation = left_to_turn(image)
        height, width = upright_size((image.height, image.width), orientation)
        kind = image.format or ""
        # All browsers apply the EXIF orientation of JPEGs, but not of other files.
        is_upright = orientation == 1 or kind in ("JPEG", "MPO")
        is_known = image.mode in _BROWSER_MODES.get(kind, ()) and is_upright
        # Not for TIFF and GIF: Pillow counts their pages and frames in time that is
        # quadratic in their number.
        is_animated = (
            is_known and kind != "MPO" and getattr(image, "is_animated", False)
        )
        return ImageHeader(
            width,
            height,
            _BROWSER_TYPES[kind] if is_known and not is_animated else None,
        )


def read_pixels(source: FileSource, most_pixels: int) -> np.ndarray:
    """Reads an image as upright RGB uint8 (h, w, 3).

    Raises:
        NotAnImage: The file is no image, is damaged, or has too many pixels.
    """
    with _opened(source, most_pixels) as image:
        return read_image(image)


def convert_for_browser(source: FileSource, most_pixels: int) -> bytes:
    """Returns the upright image as the bytes of a PNG.

    Raises:
        NotAnImage: As for `read_pixels`.
    """
    content = io.BytesIO()
    # Fast rather than small: most browsers are on the same machine.
    Image.fromarray(read_pixels(source, most_pixels)).save(
        content, format="PNG", compress_level=1
    )
    return content.getvalue()


def make_thumbnail(source: FileSource, size: int, most_pixels: int) -> bytes:
    """Returns the bytes of a JPEG whose longer side has at most `size` pixels.

    Raises:
        NotAnImage: As for `read_pixels`.
    """
    with _opened(source, most_pixels) as image:
        if image.mode[0] in "IF":
            image = Image.fromarray(read_image(image))
        else:
            # Decodes JPEGs at a fraction of their size (down to an eighth) if enough.
            image.draft("RGB", (size, size))
        image = ImageOps.exif_transpose(image).convert("RGB")
        image.thumbnail((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        content = io.BytesIO()
        image.save(content, format="JPEG", quality=85)
        return content.getvalue()


def check_whole(source: FileSource, most_pixels: int) -> ImageHeader:
    """Decodes a whole image, so that no damaged upload is stored.

    Raises:
        NotAnImage: As for `read_pixels`.
    """
    header = read_header(source, most_pixels)
    if not isinstance(source, Path):
        source.seek(0)
    read_pixels(source, most_pixels)
    return header


@contextlib.contextmanager
def _opened(source: FileSource, most_pixels: int) -> Iterator[Image.Image]:
    try:
        with Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise NotAnImage(
                    f"got an image of {image.width} x {image.height} pixels, expected "
                    f"at most {most_pixels} pixels in all: make it smaller, or serve "
                    "with a larger --max-pixels"
                )
            yield image
    except (NotAnImage, FileNotFoundError, PermissionError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # The warning is raised only where warnings are errors; the check is above.
        raise NotAnImage(
            f"got an image with more than {most_pixels} pixels: make it smaller, or serve "
            "with a larger --max-pixels"
        ) from error
    except Exception as error:
        # Pillow's decoders raise all kinds of exceptions on damaged files.
        cause = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
        raise NotAnImage(
            f"got no image that can be read{cause}, expected a whole file of one of "
            + ", ".join(FORMATS)
        ) from error
