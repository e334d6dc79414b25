"""Files of images to pixels at a given size, strictly and fast.

JPEG files, which is what datasets hold, are decoded by libjpeg-turbo (through simplejpeg,
which refuses a file that is cut off or damaged where others return grey or garbage) at a
half, quarter or eighth of their size where they become so small anyway: less than half
the work, and the mean difference to decoding all of it and resizing with Pillow's filter
stays below one of 255 grey levels. All other files are read as
`samjax.data.whole_images` reads them.
"""

import functools
from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from samjax.data.bounds import BadImage, check_pixels
from samjax.data.orientation import (
    FrameName,
    orientation_of,
    stored_view,
    upright_size,
)
from samjax.data.whole_images import open_image, read_header, read_rgb

__all__ = ["BadImage", "ImageFile"]

_NAME = "the bytes of a file"


class ImageFile:
    """An image of which only the header is read.

    Args:
        data: the bytes of a file.
        frame: whether the image is turned upright by its EXIF orientation, or taken as
            it is stored: on which of the two its masks lie.

    Attributes:
        size: h, w in pixels, in that frame.
        frame: as given.

    Raises:
        BadImage: the bytes are no image, or of more pixels than
            `samjax.data.bounds.max_pixels`.
    """

    def __init__(self, data: bytes, frame: FrameName = "stored"):
        self._data, self.frame = data, frame
        stored = _jpeg_size(data) if data[:2] == b"\xff\xd8" else None
        self._is_jpeg = stored is not None
        if stored is None:
            header = read_header(data, _NAME)
            stored, self._orientation = header.size, header.orientation
        elif frame == "upright":
            with open_image(data, _NAME) as image:
                self._orientation = orientation_of(image)
        else:
            self._orientation = 1
        check_pixels(stored[1], stored[0], _NAME)
        self._stored_size = stored
        is_turned = frame == "upright"
        self.size = upright_size(stored, self._orientation) if is_turned else stored

    def read(self, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes the image and resizes it to `size` (h, w).

        Raises:
            BadImage: the file is cut off or damaged.
        """
        pixels = np.empty((*size, 3), np.uint8)
        self.read_into(pixels)
        return pixels

    def read_into(self, out: UInt8[np.ndarray, "h w 3"]) -> None:
        """Decodes the image, resizes it to the size of `out` and writes it there.

        Raises:
            BadImage: the file is cut off or damaged; `out` may hold a part of it.
        """
        # The same memory, as the file stores its pixels.
        if self.frame == "upright":
            out = stored_view(out, self._orientation)
        if not self._is_jpeg:
            pixels = stored_view(read_rgb(self._data, _NAME), self._orientation)
            _resize(pixels, self._stored_size, out)
            return
        import simplejpeg

        eighths = _eighths(self._stored_size, out.shape[:2])
        height, width = (-(-side * eighths // 8) for side in self._stored_size)
        # Straight to where it belongs, if it needs no resizing.
        at_once = self._stored_size == out.shape[:2] and out.flags.c_contiguous
        try:
            pixels = simplejpeg.decode_jpeg(
                self._data,
                "RGB",
                min_height=height,
                min_width=width,
                buffer=out if at_once else None,
            )
        except (ValueError, RuntimeError, MemoryError) as error:
            raise BadImage(str(error)) from error
        if not at_once:
            # Of a side that is no multiple of 8 the last pixel is only partly there.
            scaled = tuple(side * eighths / 8 for side in self._stored_size)
            _resize(pixels, (scaled[0], scaled[1]), out)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """The (h, w) of a JPEG that simplejpeg decodes; None where Pillow is to."""
    import simplejpeg

    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, RuntimeError) as error:
        raise BadImage(str(error)) from error
    return None if colors in ("CMYK", "YCCK") else (int(height), int(width))


def _eighths(size: tuple[int, int], target: tuple[int, int]) -> int:
    """The least of 1, 2, 4 and 8 eighths that has the detail of the target size.

    A tenth less than the target is near enough: resizing a whole image by a filter
    without aliasing blurs it more than that. Other fractions decode slower than 8 / 8.
    """
    for eighths in (1, 2, 4):
        if all(
            side * eighths / 8 >= 0.9 * wanted
            for side, wanted in zip(size, target, strict=True)
        ):
            return eighths
    return 8


def _resize(
    pixels: np.ndarray, extent: tuple[int | float, int | float], out: np.ndarray
) -> None:
    """Resizes pixels of which `extent` (h, w) is covered by the image into `out`."""
    height, width = out.shape[:2]
    if extent == (height, width):
        out[...] = pixels
        return
    scales = height / extent[0], width / extent[1]
    cv2 = _cv2()
    # OpenCV takes no views that run backwards.
    pixels = np.ascontiguousarray(pixels)
    # Bilinear weights reach one pixel far: they alias where it shrinks by much.
    method = cv2.INTER_LINEAR if min(scales) > 1 / 1.5 else cv2.INTER_AREA
    # Given a scale instead of a size, it resizes the part of the last pixel right.
    whole = tuple(
        round(side * scale) for side, scale in zip(pixels.shape, scales, strict=False)
    )
    if whole[0] < height or whole[1] < width:
        resized = cv2.resize(pixels, (width, height), interpolation=method)
    else:
        resized = cv2.resize(
            pixels,
            None,
            # Straight to where it belongs, if it is of that size.
            out if whole == (height, width) and out.flags.c_contiguous else None,
            fx=scales[1],
            fy=scales[0],
            interpolation=method,
        )
    if resized is not out:
        out[...] = resized[:height, :width]


@functools.cache
def _cv2() -> ModuleType:
    import cv2

    # Examples are prepared side by side already.
    cv2.setNumThreads(1)
    return cv2
