"""Images that are too large for memory, read in windows as RGB uint8.

`open_large_image` reads TIFF window by window (`samjax.data.tiff_windows`), whatever
the size of the whole. Other formats cannot be read in windows; they are decoded whole,
up to the bound on pixels, as are kinds of TIFF that only Pillow decodes. `ArrayImage`
is for arrays and memory maps.

The formats and the conversion to upright RGB are those of the other readers
(`samjax.data.whole_images`, `samjax.data.tiff_form`).

TIFF needs tifffile, and most of its compressions imagecodecs: the extra `large`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from samjax.data.bounds import TooManyPixels
from samjax.data.first_bytes import HEAD, is_tiff
from samjax.data.folders import open_regular
from samjax.data.tiff_windows import NotInWindows, check_window, open_tiff, to_rgb
from samjax.data.whole_images import read_rgb

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
            ValueError: The window is not within the image, or its pixels cannot be
                used.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayImage:
    """An array or a memory map; only the windows that are read are accessed.

    Attributes:
        array: (h, w, 3) RGB, (h, w, 4) RGBA, (h, w, 1) or (h, w) grey; bool, uint8,
            uint16, or other integers with values in 0..255.

    Raises:
        ValueError: The array has another shape or dtype.
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
        check_window(self.size, top, left, bottom, right)
        return to_rgb(self.array[top:bottom, left:right])


def open_large_image(
    path: str | os.PathLike, *, cache_bytes: int = CACHE_BYTES
) -> LargeImage:
    """Opens an image for reading in windows.

    Only the first page of a TIFF file is read. The result keeps no file open and can be
    shared between threads.

    Args:
        path: A TIFF or BigTIFF file, or another format that Pillow reads.
        cache_bytes: Size of the cache of decoded tiles and strips; strips are as wide
            as the image, so it should hold a row of windows.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, of a kind that cannot be used, or of a format
            that has to be read whole and too large for that.
        ImportError: It is a TIFF file, and tifffile is missing.
    """
    path = Path(path)
    with open_regular(path) as file:
        head = file.read(HEAD)
    if is_tiff(head):
        try:
            return open_tiff(path, cache_bytes)
        except NotInWindows:
            pass
    try:
        return ArrayImage(read_rgb(path))
    except TooManyPixels as error:
        raise ValueError(
            f"{error}. Its format has to be read whole: or convert it to a tiled TIFF "
            "file"
        ) from error
