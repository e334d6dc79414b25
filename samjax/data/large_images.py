"""Images too large to hold: windows of them, as RGB uint8.

`open_large_image` reads TIFF window by window, whatever the size of the whole:
uncompressed pixels through a memory map, others by decoding the tiles or strips that a
window touches. Other formats cannot be read in parts; they are read whole, up to
Pillow's bound on pixels. `ArrayImage` is for arrays and memory maps.

Pixels follow the rules of `samjax.inference.images`: grey is repeated, alpha is dropped,
16 bits are divided by 257, palettes become RGB, floats are refused, and files are turned
upright by their orientation.

TIFF needs tifffile, and most of its compressions imagecodecs: the extra `large`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps

from samjax.data.pixels import to_eight_bits

CACHE_BYTES = 256 << 20


@runtime_checkable
class LargeImage(Protocol):
    """An image that is read in windows."""

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        ...

    def read(
        self, top: int, left: int, bottom: int, right: int
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the pixels of a window; bottom and right are exclusive.

        Raises:
            ValueError: the window is not within the image, or its pixels cannot be used.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayImage:
    """An array or a memory map, of which only the windows that are read are touched.

    Attributes:
        array: (h, w, 3) RGB, (h, w, 4) RGBA, (h, w, 1) or (h, w) grey; bool, uint8,
            uint16, or other integers that lie in 0..255.

    Raises:
        ValueError: the array has another shape or type.
    """

    array: np.ndarray

    def __post_init__(self):
        shape, dtype = self.array.shape, self.array.dtype
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in (1, 3, 4) or 0 in shape:
            raise ValueError(
                f"got an image of shape {shape}, expected (h, w, 3) RGB, (h, w, 4) RGBA, "
                "(h, w, 1) or (h, w) grey: give one image, its channels last"
            )
        if dtype.kind not in "bui":
            raise ValueError(
                f"got an image of {dtype}, expected uint8 in 0..255: scale it first"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return self.array.shape[0], self.array.shape[1]

    def read(
        self, top: int, left: int, bottom: int, right: int
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the pixels of a window; see `LargeImage`."""
        _check_window(self.size, top, left, bottom, right)
        return _to_rgb(self.array[top:bottom, left:right])


def open_large_image(
    path: str | os.PathLike, *, cache_bytes: int = CACHE_BYTES
) -> LargeImage:
    """Opens an image to be read in windows.

    Of a TIFF file with several pages it is the first. What is returned holds no file
    open, and may be shared between threads.

    Args:
        path: a TIFF or BigTIFF file, or another that Pillow reads.
        cache_bytes: how much of decoded tiles and strips is kept for later windows;
            strips are as wide as the image, so it should hold a row of windows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of a kind that cannot be used, or too large to
            be read whole, which its format requires.
        ImportError: it is a TIFF file, and tifffile is missing.
    """
    path = Path(path)
    with open(path, "rb") as file:
        head = file.read(4)
    if head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _open_tiff(path, cache_bytes)
    return ArrayImage(_read_with_pillow(path))


def _check_window(
    size: tuple[int, int], top: int, left: int, bottom: int, right: int
) -> None:
    height, width = size
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError(
            f"got the window {top=}, {left=}, {bottom=}, {right=} of an image of {size} "
            "(h, w), expected one within it that is not empty"
        )


def _to_rgb(pixels: Shaped[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Pixels of grey, RGB or RGBA as RGB uint8, in an array of their own."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    pixels = to_eight_bits(pixels[:, :, :3])
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), order="C")


def _read_with_pillow(path: Path) -> np.ndarray:
    bound = Image.MAX_IMAGE_PIXELS
    try:
        with Image.open(path) as image:
            if bound is not None and image.width * image.height > bound:
                raise Image.DecompressionBombError(
                    f"{image.width} x {image.height} pixels are more than {bound}."
                )
            upright = ImageOps.exif_transpose(image)
            if not upright.mode.startswith(("I", "F")):
                return np.array(upright.convert("RGB"))
            pixels = np.array(upright)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(
            f"got {path}, whose format has to be read whole: {error} Write it anew as a "
            "tiled TIFF file, or set PIL.Image.MAX_IMAGE_PIXELS to allow it"
        ) from error
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"got {path}, which cannot be read as an image ({error}): expected a whole "
            "TIFF, JPEG or PNG file, or another format that Pillow reads"
        ) from error
    if pixels.dtype.kind == "i" and 0 <= pixels.min() and pixels.max() <= 65535:
        # Pillow gives some 16-bit files as 32-bit integers.
        return pixels.astype(np.uint16)
    return pixels


def _open_tiff(path: Path, cache_bytes: int) -> LargeImage:
    tifffile = _required("tifffile", path)
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            problem = _problem(page)
            image = None if problem else _image_of_page(path, page, cache_bytes)
    except Exception as error:
        # What damaged tags raise is of many kinds: struct.error, IndexError, ...
        raise ValueError(f"got {path}, a damaged TIFF file ({error})") from error
    if image is None:
        raise ValueError(f"got {path}, {problem}")
    if page.compression not in _DECODED_BY_TIFFFILE:
        _required("imagecodecs", path)
    return image


def _required(package: str, path: Path) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"reading {path} in windows needs {package}: run pip install 'samjax[large]'"
        ) from error


# None, PackBits, LZMA and the two numbers of deflate.
_DECODED_BY_TIFFFILE = (1, 8, 32773, 32946, 34925)
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG = (6, 7, 33007, 34892)
_PREMULTIPLIED_ALPHA = 1
# Orientations of which rows are stored as columns.
_TRANSPOSED = (5, 6, 7, 8)


def _problem(page: Any) -> str | None:
    """Why a page cannot be used; None if it can."""
    if page.imagedepth != 1 or page.tiledepth != 1 or 0 in page.shaped:
        return f"whose first page is of shape {page.shape}, expected a flat image"
    if page.sampleformat != 1 or page.bitspersample not in (1, 8, 16):
        return (
            f"whose samples are {page.dtype} of {page.bitspersample} bits, expected "
            "unsigned integers of 8 or 16 bits: scale it, and write it anew"
        )
    samples, extra = page.samplesperpixel, len(page.extrasamples)
    # The decoder of JPEG makes RGB of YCbCr. Not all writers declare a fourth sample.
    is_rgb = page.photometric == _RGB or (
        page.photometric == _YCBCR and page.compression in _JPEG
    )
    is_single = page.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK, _PALETTE)
    if not (is_rgb and samples >= 3 + extra or is_single and samples == 1 + extra <= 2):
        return (
            f"of TIFF's photometric interpretation {page.photometric} with {samples} "
            f"samples, {extra} of them extra, expected grey, palette or RGB: convert it"
        )
    return None if _is_mapped(page) else _segment_problem(page)


def _is_mapped(page: Any) -> bool:
    return page.is_final and sum(page.databytecounts) >= page.nbytes


def _segment_problem(page: Any) -> str | None:
    """Why tiles or strips cannot be decoded one by one; None if they can."""
    (height, width), bound = page.chunks[:2], Image.MAX_IMAGE_PIXELS
    if bound is not None and height * width > bound:
        return (
            f"whose pixels are compressed in pieces of {width} x {height}, expected at "
            f"most {bound} pixels in each: write it anew in tiles (tiffcp -t, or "
            "gdal_translate -co TILED=YES), or set PIL.Image.MAX_IMAGE_PIXELS"
        )
    number = page.shaped[0] * -(-page.imagelength // height)
    number *= -(-page.imagewidth // width)
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    if listed < number:
        return f"which lists {listed} tiles or strips of {number}: it is damaged"
    return None


def _image_of_page(path: Path, page: Any, cache_bytes: int) -> _TiffImage:
    orientation, palette = page.tags.valueof(274, 1), None
    size = page.imagelength, page.imagewidth
    if page.photometric == _PALETTE:
        # Most writers of palettes shift 8 bits up, some repeat them; both come back.
        palette = (page.colormap.T >> 8).astype(np.uint8)
        palette = palette.reshape(1 << page.bitspersample, 3)
    return _TiffImage(
        size=size[::-1] if orientation in _TRANSPOSED else size,
        samples=_mapped(path, page)
        if _is_mapped(page)
        else _Segments(path, page, cache_bytes).read,
        orientation=orientation,
        photometric=int(page.photometric),
        palette=palette,
        is_premultiplied=page.extrasamples[:1] == (_PREMULTIPLIED_ALPHA,),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _TiffImage:
    """A page of a TIFF file, upright and as RGB.

    Attributes:
        size: (h, w), upright.
        samples: reads a window as it is stored, (h, w, samples).
        orientation: TIFF's number of how rows and columns are stored.
        photometric: TIFF's number of what samples mean.
        palette: RGB of every index.
        is_premultiplied: whether colours were multiplied by alpha.
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
        """Returns the pixels of a window; see `LargeImage`."""
        _check_window(self.size, top, left, bottom, right)
        flips_rows = self.orientation in (3, 4, 7, 8)
        flips_columns = self.orientation in (2, 3, 6, 7)
        if flips_rows:
            top, bottom = self.size[0] - bottom, self.size[0] - top
        if flips_columns:
            left, right = self.size[1] - right, self.size[1] - left
        if self.orientation in _TRANSPOSED:
            pixels = self.samples(left, top, right, bottom).swapaxes(0, 1)
        else:
            pixels = self.samples(top, left, bottom, right)
        return self._colors(
            pixels[:: -1 if flips_rows else 1, :: -1 if flips_columns else 1]
        )

    def _colors(self, pixels: np.ndarray) -> np.ndarray:
        if self.palette is not None:
            return self.palette[pixels[:, :, 0].astype(np.intp)]
        colors = 3 if self.photometric in (_RGB, _YCBCR) else 1
        rgb = _to_rgb(pixels[:, :, :colors])
        if self.photometric == _MIN_IS_WHITE:
            rgb = 255 - rgb
        if self.is_premultiplied:
            alpha = to_eight_bits(pixels[:, :, colors : colors + 1])
            size, rgba = rgb.shape[1::-1], np.concatenate([rgb, alpha], axis=2)
            image = Image.frombytes("RGBa", size, rgba.tobytes()).convert("RGBA")
            rgb = np.array(image.convert("RGB"))
        return rgb


def _mapped(path: Path, page: Any) -> Callable[[int, int, int, int], np.ndarray]:
    """Reads windows of pixels that lie in the file one after the other."""
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    array = np.memmap(path, dtype, "r", page.dataoffsets[0], page.shaped)
    # Of planes and samples one has a single entry.
    samples = array[0, 0] if page.planarconfig == 1 else np.moveaxis(array[:, 0], 0, -1)
    samples = samples if samples.ndim == 3 else samples[:, :, 0]
    return lambda top, left, bottom, right: samples[top:bottom, left:right]


class _Segments:
    """Reads windows of the tiles or strips of a page, each decoded by itself."""

    def __init__(self, path: Path, page: Any, cache_bytes: int):
        self._path, self._page = path, page
        # The decoder is made while the file is open, as it reads tags.
        self._decode = page.decode
        bytes_each = math.prod(page.chunks) * page.dtype.itemsize
        self._segment = functools.lru_cache(cache_bytes // bytes_each)(self._read_one)

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        page, (height, width) = self._page, self._page.chunks[:2]
        down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
        planes, _, _, _, samples = page.shaped
        shape = (bottom - top, right - left, planes * samples)
        # What a file leaves out has the value that it names for that.
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

    def _read_one(self, number: int) -> np.ndarray | None:
        """A decoded tile or strip; None for one that the file leaves out."""
        page = self._page
        offset, length = page.dataoffsets[number], page.databytecounts[number]
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
            return self._decode(data, number, **tables)[0][0]
        except Exception as error:
            # Every decoder has errors of its own.
            raise ValueError(
                f"got {self._path}, whose tile or strip {number} cannot be decoded "
                f"({error}): the file is damaged or cut off"
            ) from error


def _paste(window: np.ndarray, segment: np.ndarray, top: int, left: int) -> None:
    """Writes a segment, whose corner is at (top, left), where it lies in a window."""
    bottom, right = top + segment.shape[0], left + segment.shape[1]
    target = window[max(top, 0) : bottom, max(left, 0) : right]
    segment = segment[max(-top, 0) :, max(-left, 0) :]
    target[:] = segment[: target.shape[0], : target.shape[1]]
