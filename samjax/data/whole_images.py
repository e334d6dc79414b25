"""Files of images that are read whole: one reader, with one table of pixel forms.

Whoever takes a file of an image comes through here: photos to segment, photos of a
dataset, images too large for memory whose format has no parts. Only decoders on a list
are tried, which run in this process and take nothing but pixels from a file: Pillow
would else hand PostScript, which is a program, to an interpreter. The size is held
against a bound before anything is decoded, and whatever a decoder raises for a damaged
file becomes a `BadImage` that names the file.

Pixels become RGB uint8, upright (`samjax.data.orientation`):

    1, L, P, PA, LA, RGB, RGBA, RGBX     converted as Pillow does; alpha is dropped
    CMYK, YCbCr, LAB, HSV                the same
    RGBa, La                             divided by alpha, which is then dropped
    I;16, and I of a PNG, PPM, JPEG 2000 16 bits, of which 65535 is white
    I;16 of a TIFF of 12 bits            4095 is white
    I of other files, F                  refused: what is white cannot be known
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
"""Pillow's decoders that are tried. EPS starts Ghostscript, IPTC opens what it holds with
any decoder, WMF, BUFR, GRIB, HDF5 and MPEG have none."""

# In these a Pillow image of 32-bit integers holds 16 bits; None is one in memory.
_SIXTEEN_BITS_IN_I = ("PNG", "PPM", "JPEG2000", None)
# Pixels that are converted at a time: what a conversion takes besides the result.
_PIXELS_AT_A_TIME = 1 << 20
_EXPECTED = "expected a whole JPEG, PNG, TIFF or another format that Pillow reads"


class Header(NamedTuple):
    """What a file says before its pixels are decoded.

    Attributes:
        size: (h, w) as stored.
        orientation: by which it is turned upright.
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
        source: the file.
        name: what to call it in errors; by default its path.
        notes: takes remarks on what was read: only one of several pages, values that
            use a small part of their range.

    Raises:
        BadImage: it is no image that is read, is damaged, or is too large.
        OSError: it is not there or cannot be read.
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
    """Reads the size and the orientation of an image, without its pixels.

    Raises:
        BadImage: it is no image that is read, or is too large.
        OSError: it is not there or cannot be read.
    """
    name = _named(source, name)
    with open_image(source, name) as image:
        if image is not None:
            size = upright_size((image.height, image.width), left_to_turn(image))
            orientation = orientation_of(image)
            return Header(upright_size(size, orientation), orientation)
    from samjax.data.tiff_windows import read_tiff_header

    return Header(*read_tiff_header(source, name))


@contextlib.contextmanager
def open_image(
    source: Source,
    name: str | None = None,
    *,
    formats: Sequence[str] = FORMATS,
    any_values: bool = False,
) -> Iterator[Any]:
    """Opens a file with Pillow, within bounds, and translates all that it raises.

    Args:
        source: the file.
        name: what to call it in errors; by default its path.
        formats: of Pillow, that are tried.
        any_values: whether numbers are wanted whose grey levels cannot be known, as of
            label maps.

    Yields:
        Pillow's image, not decoded yet; None for a TIFF file that is none of Pillow's
        kinds, and that tifffile is to read.

    Raises:
        BadImage: it is no image that is read, is damaged, or is too large; also what is
            raised while it is decoded in the body of the `with`.
        OSError: it is not there or cannot be read.
    """
    name = _named(source, name)
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
                # The system's own: not there, not allowed, a failing disk.
                raise
            raise _explained(error, head, name) from error


def image_to_rgb(
    image: Image.Image, name: str = "a Pillow image"
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the pixels of a Pillow image as upright RGB, by this module's table.

    It takes little more memory than the decoded image and the result.

    Raises:
        BadImage: what its values mean cannot be known.
        Exception: of Pillow, where the image is a file that is damaged; `open_image`
            translates it.
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
        # One strip is the whole of a small image, which needs no copy.
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
        # Refused, with what to do.
        return to_eight_bits(pixels)
    if form is not None and form.bits == 12:
        return ((pixels.astype(np.uint32) * 255 + 2047) // 4095).astype(np.uint8)
    grey = to_eight_bits(pixels.astype(np.uint16))
    # Pillow turns white-is-zero round in fewer bits.
    is_negative = form is not None and form.photometric == MIN_IS_WHITE
    return 255 - grey if is_negative else grey


def _check_integers(image: Image.Image, name: str) -> None:
    """Refuses integers of 32 bits of which 16 bits cannot be what is meant."""
    extrema: Any = image.getextrema()
    low, high = extrema
    got = f"got {name} of 32-bit integers in {low}..{high}"
    if image.format not in _SIXTEEN_BITS_IN_I:
        raise BadImage(
            f"{got}, expected 8 or 16 bits, of which white is known: scale it to 0..255 "
            "in NumPy, and pass it, or write it anew, as uint8"
        )
    if low < 0 or high > 65535:
        raise BadImage(f"{got}, expected 0..65535: scale them to 8 or 16 bits")
    if image.format is None and 0 < high < 256:
        raise BadImage(
            f"{got}, of which 16 bits are taken, so that all is black: pass "
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
    # Pillow turns TIFF files upright as it loads them, by what XMP says too, but gives
    # a size by the tag alone; and no other reader of TIFF looks there.
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
            f"{name} uses less than 12 of its 16 bits, so that it is nearly black: "
            "stretch it to 0..65535, or to 8 bits, before"
        )
    if image.format == "TIFF" and _has_more_pages(image):
        notes.append(
            f"{name} has several pages, of which the first is read: write the others "
            "to files of their own"
        )
    return notes


def _has_more_pages(image: Any) -> bool:
    # Counting pages takes time that grows with their square; a second one is enough.
    with contextlib.suppress(Exception):
        image.seek(1)
        # Smaller copies of the first page, and its mask, are no pages of their own.
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
    """Those of some formats that this Pillow has."""
    Image.init()
    if wants_heif and "HEIF" in formats and "HEIF" not in Image.OPEN:
        with contextlib.suppress(ImportError):
            import pillow_heif  # pyright: ignore[reportMissingImports]

            pillow_heif.register_heif_opener()
    return tuple(name for name in formats if name in Image.OPEN)


def _explained(error: Exception, head: bytes, name: str) -> BadImage:
    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    if isinstance(error, bombs):
        found = re.search(r"\d+", str(error))
        pixels = int(found[0]) if found else 0
        return TooManyPixels(name, pixels, f"{pixels}", max_pixels())
    if known := recognize(head):
        return BadImage(f"got {name}, which is {known}")
    if isinstance(error, UnidentifiedImageError):
        # Its own words name the object in memory.
        return BadImage(f"got {name}, which is no image that Pillow knows: {_EXPECTED}")
    return BadImage(
        f"got {name}, which cannot be read as an image ({error}): {_EXPECTED}"
    )
