"""TIFF through tifffile: windows of pages of any size, and kinds that Pillow cannot read.

Uncompressed pixels are read through a memory map, others by decoding the tiles or
strips that a window overlaps. The supported kinds are in `samjax.data.tiff_form`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from samjax.data.bounds import PIXELS, BadImage, check_pixels, max_pixels
from samjax.data.folders import open_regular
from samjax.data.orientation import stored_window, upright_size, upright_view
from samjax.data.pixels import to_eight_bits
from samjax.data.tiff_form import (
    MIN_IS_WHITE,
    PALETTE,
    RGB,
    YCBCR,
    TiffForm,
    pillow_reads,
    refusal,
    windows_read,
)

# TIFF's codes of no compression, deflate (two), PackBits and LZMA; the others need
# imagecodecs.
_DECODED_BY_TIFFFILE = (1, 8, 32773, 32946, 34925)
_PREMULTIPLIED_ALPHA = 1


class NotInWindows(Exception):
    """A TIFF file of a kind that only Pillow reads, as a whole."""


def open_tiff(path: Path, cache_bytes: int) -> TiffImage:
    """Opens the first page of a TIFF file for reading in windows.

    Raises:
        NotInWindows: It is of a kind that only Pillow reads, as a whole.
        BadImage: The file is damaged or of a kind that is not supported.
        ImportError: tifffile is missing, or imagecodecs and the compression needs it.
    """
    tifffile = _required("tifffile", str(path))
    is_whole = False
    image = problem = None
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            problem, is_whole = _problem(page)
            if problem is None and not is_whole:
                image = _image_of_page(path, page, cache_bytes)
    except Exception as error:
        # Damaged tags raise errors of many types: struct.error, IndexError, ...
        raise BadImage(f"got {path}, a damaged TIFF file ({error})") from error
    if is_whole:
        raise NotInWindows
    if image is None:
        raise BadImage(f"got {path}, {problem}")
    if page.compression not in _DECODED_BY_TIFFFILE:
        _required("imagecodecs", str(path))
    return image


def read_tiff_whole(
    source: bytes | str | os.PathLike, name: str
) -> UInt8[np.ndarray, "h w 3"]:
    """Reads a TIFF file of a kind that Pillow does not decode, as upright RGB.

    Raises:
        BadImage: The file is damaged, too large, or of a kind that is not supported, or
            a package to read it is missing.
        OSError: The file cannot be read.
    """

    def read(page: Any) -> np.ndarray:
        shape = (*page.shaped[2:4], page.shaped[4])
        planes = page.asarray().reshape(page.shaped[0], *shape)
        # Samples are either interleaved or in planes: one of the two axes has length 1.
        samples = (
            planes[0] if page.planarconfig == 1 else np.moveaxis(planes[..., 0], 0, -1)
        )
        return _tiff_image(page, lambda t, l, b, r: samples[t:b, l:r]).whole()

    return _of_first_page(source, name, read)


def read_tiff_header(
    source: bytes | str | os.PathLike, name: str
) -> tuple[tuple[int, int], int]:
    """Reads the stored (h, w) and the orientation of a file for `read_tiff_whole`.

    Raises the errors of `read_tiff_whole`.
    """

    def read(page: Any) -> tuple[tuple[int, int], int]:
        return (page.imagelength, page.imagewidth), _orientation(page)

    return _of_first_page(source, name, read)


def _of_first_page(
    source: bytes | str | os.PathLike, name: str, read: Callable[[Any], Any]
) -> Any:
    try:
        tifffile = _required("tifffile", name)
        with (
            (
                io.BytesIO(source)
                if isinstance(source, bytes)
                else open_regular(source)
            ) as content,
            tifffile.TiffFile(content) as file,
        ):
            page = file.pages.first
            form = TiffForm.of_tifffile(page)
            problem = refusal(form)
            if problem is None and not windows_read(form):
                problem = _unread(form)
            if problem is not None:
                raise BadImage(f"got {name}, {problem}")
            check_pixels(page.imagewidth, page.imagelength, name)
            if page.compression not in _DECODED_BY_TIFFFILE:
                _required("imagecodecs", name)
            return read(page)
    except BadImage:
        raise
    except ImportError as error:
        raise BadImage(
            f"got {name}, a TIFF file of a kind that Pillow does not read: {error}, or "
            "convert it to 8 bits of grey or RGB"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadImage(f"got {name}, a damaged TIFF file ({error})") from error


def _required(package: str, name: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"reading {name} in windows needs {package}: run pip install 'samjax[large]'"
        ) from error


def _problem(page: Any) -> tuple[str | None, bool]:
    """Returns why a page cannot be used, or else whether Pillow has to read it whole."""
    if 0 in page.shaped:
        return (
            f"whose first page is of shape {page.shape}, expected a flat image",
            False,
        )
    form = TiffForm.of_tifffile(page)
    if problem := refusal(form):
        return problem, False
    if not windows_read(form):
        return (None, True) if pillow_reads(form) else (_unread(form), False)
    return (None if _is_mapped(page) else _segment_problem(page)), False


def _unread(form: TiffForm) -> str:
    return (
        f"of TIFF's photometric interpretation {form.photometric} with {form.samples} "
        f"samples of {form.bits} bits{' in planes' if form.is_planar else ''}, a kind "
        "that is not supported: convert it to 8 bits of grey or RGB"
    )


def _is_mapped(page: Any) -> bool:
    return page.is_final and sum(page.databytecounts) >= page.nbytes


def _segment_problem(page: Any) -> str | None:
    """Returns why tiles or strips cannot be decoded one by one; None if they can."""
    (height, width), bound = page.chunks[:2], max_pixels()
    if bound is not None and height * width > bound:
        return (
            f"whose pixels are compressed in pieces of {width} x {height}, expected at "
            f"most {bound} pixels in each: write it anew in tiles (tiffcp -t, or "
            f"gdal_translate -co TILED=YES), or set {PIXELS}={height * width}"
        )
    expected = page.shaped[0] * -(-page.imagelength // height)
    expected *= -(-page.imagewidth // width)
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    if listed < expected:
        return f"which lists {listed} tiles or strips of {expected}: it is damaged"
    return None


def _image_of_page(path: Path, page: Any, cache_bytes: int) -> TiffImage:
    is_mapped = _is_mapped(page)
    samples = (
        _mapped(path, page) if is_mapped else _Segments(path, page, cache_bytes).read
    )
    return _tiff_image(page, samples)


def _orientation(page: Any) -> int:
    value = page.tags.valueof(274, 1)
    return value if value in range(1, 9) else 1


def _tiff_image(
    page: Any, samples: Callable[[int, int, int, int], np.ndarray]
) -> TiffImage:
    palette = None
    if page.photometric == PALETTE:
        # Palettes have 16 bits. Writers scale 8 bits by 256 or by 257: the upper byte
        # is the original in both cases.
        palette = (page.colormap.T >> 8).astype(np.uint8)
        palette = palette.reshape(1 << page.bitspersample, 3)
    return TiffImage(
        size=upright_size((page.imagelength, page.imagewidth), _orientation(page)),
        samples=samples,
        orientation=_orientation(page),
        photometric=int(page.photometric),
        palette=palette,
        is_premultiplied=page.extrasamples[:1] == (_PREMULTIPLIED_ALPHA,),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TiffImage:
    """A page of a TIFF file, upright and as RGB.

    Attributes:
        size: (h, w), upright.
        samples: Reads a window of the stored samples, (h, w, samples).
        orientation: TIFF's code of the orientation of rows and columns.
        photometric: TIFF's code of the photometric interpretation.
        palette: RGB of every index.
        is_premultiplied: Whether colours are premultiplied by alpha.
    """

    size: tuple[int, int]
    samples: Callable[[int, int, int, int], np.ndarray]
    orientation: int
    photometric: int
    palette: UInt8[np.ndarray, "n 3"] | None
    is_premultiplied: bool

    def read(
        self, top: int, left: int, bottom: int, right: int
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the pixels of a window; see `samjax.data.large_images.LargeImage`."""
        check_window(self.size, top, left, bottom, right)
        window = stored_window(self.size, (top, left, bottom, right), self.orientation)
        return self._colors(upright_view(self.samples(*window), self.orientation))

    def whole(self) -> UInt8[np.ndarray, "h w 3"]:
        """Returns all pixels."""
        return self.read(0, 0, *self.size)

    def _colors(self, pixels: np.ndarray) -> np.ndarray:
        if self.palette is not None:
            return self.palette[pixels[:, :, 0].astype(np.intp)]
        colors = 3 if self.photometric in (RGB, YCBCR) else 1
        rgb = to_rgb(pixels[:, :, :colors])
        if self.photometric == MIN_IS_WHITE:
            rgb = 255 - rgb
        if self.is_premultiplied:
            # Pillow's division by alpha, so that both readers give the same pixels.
            alpha = to_eight_bits(pixels[:, :, colors : colors + 1])
            size, rgba = rgb.shape[1::-1], np.concatenate([rgb, alpha], axis=2)
            image = Image.frombytes("RGBa", size, rgba.tobytes()).convert("RGBA")
            rgb = np.array(image.convert("RGB"))
        return rgb


def check_window(
    size: tuple[int, int], top: int, left: int, bottom: int, right: int
) -> None:
    """Checks that a window lies within an image of (h, w) and is not empty.

    Raises:
        ValueError: It does not, or it is empty.
    """
    height, width = size
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError(
            f"got the window {top=}, {left=}, {bottom=}, {right=} of an image of {size} "
            "(h, w), expected one within it that is not empty"
        )


def to_rgb(pixels: Shaped[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Converts grey, RGB or RGBA pixels to RGB uint8, in a new array."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    pixels = to_eight_bits(pixels[:, :, :3])
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), order="C")


def _mapped(path: Path, page: Any) -> Callable[[int, int, int, int], np.ndarray]:
    """Returns a reader of windows of contiguous uncompressed pixels, by a memory map."""
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    array = np.memmap(path, dtype, "r", page.dataoffsets[0], page.shaped)
    # Samples are either interleaved or in planes: one of the two axes has length 1.
    samples = array[0, 0] if page.planarconfig == 1 else np.moveaxis(array[:, 0], 0, -1)
    samples = samples if samples.ndim == 3 else samples[:, :, 0]
    return lambda top, left, bottom, right: samples[top:bottom, left:right]


class _Segments:
    """Reads windows of a compressed page, decoding each tile or strip on its own."""

    def __init__(self, path: Path, page: Any, cache_bytes: int):
        self._path, self._page = path, page
        # tifffile creates the decoder from tags, which needs the open file.
        self._decode = page.decode
        bytes_each = math.prod(page.chunks) * page.dtype.itemsize
        self._segment = functools.lru_cache(cache_bytes // bytes_each)(
            self._read_segment
        )

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        page, (height, width) = self._page, self._page.chunks[:2]
        down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
        planes, _, _, _, samples = page.shaped
        shape = (bottom - top, right - left, planes * samples)
        # Tiles that a sparse file omits have its nodata value.
        window = np.full(shape, page.nodata, page.dtype)
        for plane in range(planes):
            of_plane = window[:, :, plane * samples : (plane + 1) * samples]
            for row in range(top // height, -(-bottom // height)):
                for column in range(left // width, -(-right // width)):
                    segment = self._segment((plane * down + row) * across + column)
                    if segment is not None:
                        corner = row * height - top, column * width - left
                        _paste(of_plane, segment, *corner)
        return window

    def _read_segment(self, index: int) -> np.ndarray | None:
        """Decodes a tile or strip; returns None for one that the file omits."""
        page = self._page
        offset, length = page.dataoffsets[index], page.databytecounts[index]
        if length == 0:
            return None
        with open(self._path, "rb") as file:
            is_whole = offset + length <= os.fstat(file.fileno()).st_size
            file.seek(offset if is_whole else 0)
            data = file.read(length if is_whole else 0)
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        try:
            if not is_whole:
                raise ValueError("it ends beyond the file")
            return self._decode(data, index, **tables)[0][0]
        except Exception as error:
            # Every decoder has its own error types.
            raise ValueError(
                f"got {self._path}, whose tile or strip {index} cannot be decoded "
                f"({error}): the file is damaged or cut off"
            ) from error


def _paste(window: np.ndarray, segment: np.ndarray, top: int, left: int) -> None:
    """Copies the overlap of a segment, with its corner at (top, left), into a window."""
    bottom, right = top + segment.shape[0], left + segment.shape[1]
    target = window[max(top, 0) : bottom, max(left, 0) : right]
    segment = segment[max(-top, 0) :, max(-left, 0) :]
    target[:] = segment[: target.shape[0], : target.shape[1]]
