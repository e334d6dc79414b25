"""Decoding of whole image files: the one reader of all callers, and its pixel formats.

All image files are opened here: photos to segment, photos of a dataset, large images
whose format cannot be read in windows. Only listed decoders are tried, all of which run
in this process and take pixels only from a file; by default Pillow would pass
PostScript, which is a program, to an interpreter. The size is checked against a bound
before anything is decoded, and every error of a decoder on a damaged file becomes a
`BadImage` that names the file.

Pixels become RGB uint8, upright (`samjax.data.orientation`):

    1, L, P, PA, LA, RGB, RGBA, RGBX     converted as Pillow does; alpha is dropped
    CMYK, YCbCr, LAB, HSV                the same
    RGBa, La                             divided by alpha, which is then dropped
    I;16, and I of a PNG, PPM, JPEG 2000 16 bits, of which 65535 is white
    I;16 of a TIFF of 12 bits            4095 is white
    I of other files, F                  refused: the value of white is undefined
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from samjax.data.bounds import BadImage, TooManyPixels, check_pixels, max_pixels
from samjax.data.first_bytes import HEAD, is_heic, is_tiff, recognize
from samjax.data.folders import open_regular
from samjax.data.orientation import (
    FrameName,
    left_to_turn,
    orientation_of,
    stored_view,
    upright_size,
)
from samjax.data.pixels import to_eight_bits
from samjax.data.tiff_form import MIN_IS_WHITE, TiffForm, pillow_reads, refusal

Source = bytes | str | os.PathLike
"""The bytes of a file, or its path."""

FORMATS = (
    *("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "MPO"),
    *("PPM", "BLP", "CUR", "DCX", "DDS", "DIB", "FITS", "FLI", "FTEX", "GBR", "ICNS"),
    *("ICO", "IM", "IMT", "MCIDAS", "MSP", "PCD", "PCX", "PIXAR", "PSD", "QOI", "SGI"),
    *("SPIDER", "SUN", "TGA", "XBM", "XPM", "XVTHUMB"),
)
"""The decoders of Pillow that are tried. EPS is excluded as it starts Ghostscript, IPTC as
it opens its content with any decoder; WMF, BUFR, GRIB, HDF5 and MPEG have no decoder."""

# Formats whose 16-bit images Pillow opens as mode I (32 bits); None is an image that
# was not read from a file.
_SIXTEEN_BITS_IN_I = ("PNG", "PPM", "JPEG2000", None)
# Pixels converted at a time, which bounds the memory beside the result.
_PIXELS_AT_A_TIME = 1 << 20
_EXPECTED = "expected a whole JPEG, PNG, TIFF or another format that Pillow reads"


class Header(NamedTuple):
    """Size and orientation of an image file, read without decoding pixels.

    Attributes:
        size: (h, w) as stored.
        orientation: EXIF's orientation, 1 to 8.
    """

    size: tuple[int, int]
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """(h, w) of the upright image."""
        return upright_size(self.size, self.orientation)


def read_rgb(
    source: Source, name: str | None = None, notes: list[str] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image as upright RGB.

    Args:
        source: The file.
        name: Name of the file in error messages; its path by default.
        notes: A list to which remarks are appended: only one of several pages was read,
            values use a small part of their range.

    Raises:
        BadImage: The file is not an image of a supported kind, damaged, or too large.
        OSError: The file does not exist or cannot be read.
    """
    name = _named(source, name)
    with open_image(source, name) as image:
        if image is not None:
            pixels = image_to_rgb(image, name)
            if notes is not None:
                notes += _notes(image, pixels, name)
            return pixels
    from samjax.data.tiff_windows import read_tiff_whole

    return read_tiff_whole(source, name)


def read_header(source: Source, name: str | None = None) -> Header:
    """Reads the size and the orientation of an image, without decoding pixels.

    Raises:
        BadImage: The file is not an image of a supported kind, or too large.
        OSError: The file does not exist or cannot be read.
    """
    name = _named(source, name)
    with open_image(source, name) as image:
        if image is not None:
            size = upright_size((image.height, image.width), left_to_turn(image))
            orientation = orientation_of(image)
            return Header(upright_size(size, orientation), orientation)
    from samjax.data.tiff_windows import read_tiff_header

    return Header(*read_tiff_header(source, name))


def read_in_frame(
    data: bytes, size: tuple[int, int], frame: FrameName | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Reads the pixels of an image in the frame of its masks.

    Args:
        data: The bytes of the file.
        size: (h, w) of the masks.
        frame: The frame that the annotation file declares. None selects the upright
            frame, unless only the stored size matches that of the masks.

    Raises:
        BadImage: See `read_rgb`.
    """
    header = read_header(data)
    pixels = read_rgb(data)
    is_stored = size == header.size != header.upright_size
    if frame == "stored" or (frame is None and is_stored):
        pixels = np.ascontiguousarray(stored_view(pixels, header.orientation))
    return pixels


@contextlib.contextmanager
def open_image(
    source: Source,
    name: str | None = None,
    *,
    formats: Sequence[str] = FORMATS,
    any_values: bool = False,
) -> Iterator[Any]:
    """Opens a file with Pillow, within the bound on pixels, and translates all errors.

    Args:
        source: The file.
        name: Name of the file in error messages; its path by default.
        formats: The decoders of Pillow to try.
        any_values: Whether pixels may be of a kind without defined grey levels, such as
            the object ids of label maps.

    Yields:
        Pillow's image, not decoded yet; None for a TIFF file of a kind that Pillow does
        not support and tifffile has to read.

    Raises:
        BadImage: The file is not an image of a supported kind, damaged, or too large;
            errors of decoding within the `with` block are translated too.
        OSError: The file does not exist or cannot be read.
    """
    name = _named(source, name)
    # Sets Pillow's own bound as well.
    max_pixels()
    with contextlib.ExitStack() as stack:
        head = b""
        try:
            file = stack.enter_context(_opened(source, name))
            head = file.read(HEAD)
            file.seek(0)
            image: Any = None
            try:
                image = Image.open(
                    file, formats=_registered(tuple(formats), is_heic(head))
                )
                stack.enter_context(image)
            except UnidentifiedImageError:
                if not (is_tiff(head) and "TIFF" in formats):
                    raise
            if image is not None:
                check_pixels(image.width, image.height, name)
                if not any_values and not _is_for_pillow(image, name):
                    image = None
            yield image
        except BadImage:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                # From the system: no such file, no permission, a failing disk.
                raise
            raise _explained(error, head, name) from error


def image_to_rgb(
    image: Image.Image, name: str = "a Pillow image"
) -> UInt8[np.ndarray, "h w 3"]:
    """Converts a Pillow image to upright RGB, by the table of this module.

    It needs little more memory than the decoded image and the result.

    Raises:
        BadImage: The meaning of the pixel values is not defined.
        Exception: Errors of Pillow for a damaged file; `open_image` translates them.
    """
    if not _is_for_pillow(image, name):
        raise BadImage(
            f"got {name}, a TIFF file of a kind that Pillow does not read, or reads "
            "wrongly: give its path or its bytes"
        )
    orientation = left_to_turn(image)
    form = _tiff_form(image)
    image.load()
    upright = np.empty(
        (*upright_size((image.height, image.width), orientation), 3), np.uint8
    )
    stored = stored_view(upright, orientation)
    rows = max(1, _PIXELS_AT_A_TIME // max(image.width, 1))
    if image.mode == "I":
        _check_integers(image, name)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        # A small image is a single strip, which needs no copy.
        strip = image
        if bottom - top < image.height:
            strip = image.crop((0, top, image.width, bottom))
        stored[top:bottom] = _strip_to_rgb(strip, form, name)
    return upright


def _strip_to_rgb(image: Image.Image, form: TiffForm | None, name: str) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        try:
            return _grey_of(np.asarray(image), image, form)[:, :, None]
        except ValueError as error:
            raise BadImage(f"{name}: {error}") from error
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _grey_of(
    pixels: np.ndarray, image: Image.Image, form: TiffForm | None
) -> np.ndarray:
    if image.mode == "F":
        # Raises: floats have no defined white.
        return to_eight_bits(pixels)
    if form is not None and form.bits == 12:
        return ((pixels.astype(np.uint32) * 255 + 2047) // 4095).astype(np.uint8)
    grey = to_eight_bits(pixels.astype(np.uint16))
    # Pillow inverts white-is-zero images of up to 8 bits only.
    is_negative = form is not None and form.photometric == MIN_IS_WHITE
    return 255 - grey if is_negative else grey


def _check_integers(image: Image.Image, name: str) -> None:
    """Raises for 32-bit integers that cannot be 16-bit grey levels."""
    extrema: Any = image.getextrema()
    low, high = extrema
    got = f"got {name} of 32-bit integers in {low}..{high}"
    if image.format not in _SIXTEEN_BITS_IN_I:
        raise BadImage(
            f"{got}, expected 8 or 16 bits, with a defined white: scale it to 0..255 "
            "in NumPy, and pass it, or write it anew, as uint8"
        )
    if low < 0 or high > 65535:
        raise BadImage(f"{got}, expected 0..65535: scale them to 8 or 16 bits")
    if image.format is None and 0 < high < 256:
        raise BadImage(
            f"{got}, read as 16 bits, which would be all black: pass "
            "numpy.asarray(image), or image.convert('L')"
        )


def _is_for_pillow(image: Any, name: str) -> bool:
    form = _tiff_form(image)
    if form is None:
        if image.format == "FITS" and image.mode != "L":
            raise BadImage(
                f"got {name}, a FITS file of other values than bytes: read it with "
                "astropy.io.fits, scale it to 0..255, and pass it as uint8"
            )
        return True
    # Pillow turns TIFF files upright when it loads them, by the orientation in XMP too,
    # but reports the size by TIFF's tag alone. Other TIFF readers ignore XMP.
    image.info.pop("xmp", None)
    if problem := refusal(form):
        raise BadImage(f"got {name}, {problem}")
    return pillow_reads(form)


def _tiff_form(image: Any) -> TiffForm | None:
    tags = getattr(image, "tag_v2", None)
    is_tiff_file = tags is not None and image.format == "TIFF"
    return TiffForm.of_pillow(tags) if is_tiff_file else None


def _notes(image: Any, pixels: np.ndarray, name: str) -> list[str]:
    notes = []
    if image.mode.startswith("I") and 0 < pixels.max() <= 16:
        notes.append(
            f"{name} uses less than 12 of its 16 bits, so it is nearly black: "
            "stretch it to 0..65535, or to 8 bits, before"
        )
    if image.format == "TIFF" and _has_more_pages(image):
        notes.append(
            f"{name} has several pages, of which the first is read: write the others "
            "to files of their own"
        )
    return notes


def _has_more_pages(image: Any) -> bool:
    # Counting all pages takes quadratic time; a second one is enough.
    with contextlib.suppress(Exception):
        image.seek(1)
        # Reduced copies of the first page, and its mask, do not count.
        return not image.tag_v2.get(254, 0) & 0b101
    return False


@contextlib.contextmanager
def _opened(source: Source, name: str) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = open_regular(Path(source))
    except ValueError as error:
        raise BadImage(str(error)) from error
    with file:
        yield file


def _named(source: Source, name: str | None) -> str:
    if name is not None:
        return name
    return "the bytes of a file" if isinstance(source, bytes) else os.fspath(source)


@functools.cache
def _registered(formats: tuple[str, ...], wants_heif: bool) -> tuple[str, ...]:
    """Returns the formats that this build of Pillow supports, HEIF by pillow-heif."""
    Image.init()
    if wants_heif and "HEIF" in formats and "HEIF" not in Image.OPEN:
        with contextlib.suppress(ImportError):
            import pillow_heif  # pyright: ignore[reportMissingImports]

            pillow_heif.register_heif_opener()
    return tuple(name for name in formats if name in Image.OPEN)


def _explained(error: Exception, head: bytes, name: str) -> BadImage:
    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    if isinstance(error, bombs):
        digits = re.search(r"\d+", str(error))
        pixels = int(digits[0]) if digits else 0
        return TooManyPixels(name, pixels, f"{pixels}", max_pixels())
    if known := recognize(head):
        return BadImage(f"got {name}, which is {known}")
    if isinstance(error, UnidentifiedImageError):
        # Pillow's message has the address of the stream, not the file's name.
        return BadImage(f"got {name}, which is no image that Pillow knows: {_EXPECTED}")
    return BadImage(
        f"got {name}, which cannot be read as an image ({error}): {_EXPECTED}"
    )
