"""Files of images, which may be anything: read within bounds, and shown.

Only formats that are decoded by code meant for strangers' files are tried: Pillow would
else hand PostScript, which is a program, to an interpreter.
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

# An MPO is a JPEG with further pictures behind it; Pillow opens it as a JPEG.
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

Source = Path | BinaryIO
"""A file, or its path. A server gives the open file: a path may lead elsewhere by now."""


class NotAPicture(ValueError):
    """A file that is no image, is damaged, or is larger than allowed."""


class Header(NamedTuple):
    """What the first bytes of a file say.

    Attributes:
        width: Of the upright image.
        height: Of the upright image.
        media_type: What a browser takes the file as, or None if it has to be converted.
    """

    width: int
    height: int
    media_type: str | None


def read_header(source: Source, most_pixels: int) -> Header:
    """Reads size and kind of an image, without its pixels.

    Raises:
        NotAPicture: It is none, or has too many pixels.
    """
    with _opened(source, most_pixels) as image:
        orientation = left_to_turn(image)
        height, width = upright_size((image.height, image.width), orientation)
        kind = image.format or ""
        # Browsers turn JPEGs upright, but not all of them turn other files.
        is_upright = orientation == 1 or kind in ("JPEG", "MPO")
        is_known = image.mode in _BROWSER_MODES.get(kind, ()) and is_upright
        # Only where the header says so: Pillow counts the pages of a TIFF, and the
        # frames of a GIF, in a time that grows with the square of their number.
        moves = is_known and kind != "MPO" and getattr(image, "is_animated", False)
        return Header(
            width, height, _BROWSER_TYPES[kind] if is_known and not moves else None
        )


def read_pixels(source: Source, most_pixels: int) -> np.ndarray:
    """Reads an image as the model takes it: upright RGB uint8 (h, w, 3).

    Raises:
        NotAPicture: It is none, is damaged, or has too many pixels.
    """
    with _opened(source, most_pixels) as image:
        return read_image(image)


def convert_for_browser(source: Source, most_pixels: int) -> bytes:
    """Writes the upright image as PNG.

    Raises:
        NotAPicture: As for `read_pixels`.
    """
    content = io.BytesIO()
    # Fast rather than small: it goes to this machine, mostly.
    Image.fromarray(read_pixels(source, most_pixels)).save(
        content, format="PNG", compress_level=1
    )
    return content.getvalue()


def make_thumbnail(source: Source, size: int, most_pixels: int) -> bytes:
    """Writes a JPEG whose longer side has at most `size` pixels.

    Raises:
        NotAPicture: As for `read_pixels`.
    """
    with _opened(source, most_pixels) as image:
        if image.mode[0] in "IF":
            image = Image.fromarray(read_image(image))
        else:
            # JPEGs are decoded at an eighth of their size where that is enough.
            image.draft("RGB", (size, size))
        image = ImageOps.exif_transpose(image).convert("RGB")
        image.thumbnail((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        content = io.BytesIO()
        image.save(content, format="JPEG", quality=85)
        return content.getvalue()


def check_whole(source: Source, most_pixels: int) -> Header:
    """Decodes all of an image, so that none is taken in that cannot be used.

    Raises:
        NotAPicture: As for `read_pixels`.
    """
    header = read_header(source, most_pixels)
    if not isinstance(source, Path):
        source.seek(0)
    read_pixels(source, most_pixels)
    return header


@contextlib.contextmanager
def _opened(source: Source, most_pixels: int) -> Iterator[Image.Image]:
    try:
        with Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise NotAPicture(
                    f"got an image of {image.width} x {image.height} pixels, expected "
                    f"at most {most_pixels} pixels in all: make it smaller, or serve "
                    "with a larger --max-pixels"
                )
            yield image
    except (NotAPicture, FileNotFoundError, PermissionError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # The second only where warnings are errors; else it is the number above.
        raise NotAPicture(
            f"got an image with more than {most_pixels} pixels: make it smaller, or serve "
            "with a larger --max-pixels"
        ) from error
    except Exception as error:
        # Pillow's decoders fail on damaged files in all the ways that Python has.
        said = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
        raise NotAPicture(
            f"got no image that can be read{said}, expected a whole file of one of "
            + ", ".join(FORMATS)
        ) from error
