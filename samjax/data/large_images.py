"""Images too large to hold: windows of them, as RGB uint8.

`open_large_image` reads TIFF window by window (`samjax.data.tiff_windows`), whatever the
size of the whole. Other formats cannot be read in parts; they are read whole, up to the
bound on pixels, as are kinds of TIFF that only Pillow decodes. `ArrayImage` is for arrays
and memory maps.

Which files there are, and what their pixels become, is as for every other reader
(`samjax.data.whole_images`, `samjax.data.tiff_form`): upright RGB.

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
        check_window(self.size, top, left, bottom, right)
        return to_rgb(self.array[top:bottom, left:right])


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
            f"{error}. Its format has to be read whole: or write it anew as a tiled TIFF "
            "file"
        ) from error
