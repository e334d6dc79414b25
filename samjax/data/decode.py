"""Strict and fast decoding of image files at a given size.

JPEG files, the usual format of datasets, are decoded by libjpeg-turbo through
simplejpeg, which rejects truncated or damaged files where other decoders return grey or
garbage. Images that are to be reduced are decoded at a half, quarter or eighth of their
size: less than half the work, and the mean difference from full decoding and Pillow's
resize stays below one of 255 grey levels. All other formats are read by
`samjax.data.whole_images`.
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
    """An image file; construction reads its header only.

    Args:
        data: The bytes of the file.
        frame: The frame of the masks: the image turned upright by its EXIF orientation,
            or its pixels as stored.

    Attributes:
        size: h, w in pixels, in that frame.
        frame: The argument of that name.

    Raises:
        BadImage: The bytes are not an image, or it has more pixels than
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
            BadImage: The file is truncated or damaged.
        """
        pixels = np.empty((*size, 3), np.uint8)
        self.read_into(pixels)
        return pixels

    def read_into(self, out: UInt8[np.ndarray, "h w 3"]) -> None:
        """Decodes the image, resizes it to the size of `out` and writes it there.

        Raises:
            BadImage: The file is truncated or damaged; `out` may hold a part of it.
        """
        # A view with the stored orientation: decoding into it writes upright pixels.
        if self.frame == "upright":
            out = stored_view(out, self._orientation)
        if not self._is_jpeg:
            pixels = stored_view(read_rgb(self._data, _NAME), self._orientation)
            _resize(pixels, self._stored_size, out)
            return
        import simplejpeg

        eighths = _eighths(self._stored_size, out.shape[:2])
        height, width = (-(-side * eighths // 8) for side in self._stored_size)
        # Decode directly into `out` if no resizing is needed.
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
            # The last pixel covers less than a whole one if a side is not a multiple of
            # 8, so the extent is fractional.
            scaled = tuple(side * eighths / 8 for side in self._stored_size)
            _resize(pixels, (scaled[0], scaled[1]), out)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Returns the (h, w) of a JPEG that simplejpeg decodes; None if Pillow has to."""
    import simplejpeg

    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, RuntimeError) as error:
        raise BadImage(str(error)) from error
    return None if colors in ("CMYK", "YCCK") else (int(height), int(width))


def _eighths(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Returns the smallest of 1, 2, 4 and 8 eighths with the detail of the target size.

    A tenth less than the target is accepted: an anti-aliased resize of the whole image
    blurs it by more than that. Other fractions decode slower than 8 / 8.
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
    """Resizes pixels into `out`; the image covers `extent` (h, w) of them, perhaps fractional."""
    height, width = out.shape[:2]
    if extent == (height, width):
        out[...] = pixels
        return
    scales = height / extent[0], width / extent[1]
    cv2 = _cv2()
    # OpenCV rejects views with negative strides.
    pixels = np.ascontiguousarray(pixels)
    # Bilinear interpolation aliases under strong reduction; area averaging does not.
    method = cv2.INTER_LINEAR if min(scales) > 1 / 1.5 else cv2.INTER_AREA
    # A scale in place of a size lets OpenCV account for the fractional last pixel.
    whole = tuple(
        round(side * scale) for side, scale in zip(pixels.shape, scales, strict=False)
    )
    if whole[0] < height or whole[1] < width:
        resized = cv2.resize(pixels, (width, height), interpolation=method)
    else:
        resized = cv2.resize(
            pixels,
            None,
            # Write directly into `out` if the size matches.
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

    # Examples are already prepared in parallel.
    cv2.setNumThreads(1)
    return cv2
