"""Files of images to pixels at a given size, strictly and fast.

JPEG files, which is what datasets hold, are decoded by libjpeg-turbo (through simplejpeg,
which refuses a file that is cut off or damaged where others return grey or garbage) at a
half, quarter or eighth of their size where they become so small anyway: less than half
the work, and the mean difference to decoding all of it and resizing with Pillow's filter
stays below one of 255 grey levels. All other files are read by Pillow.

Images are not turned by their EXIF orientation: masks lie on the pixels as stored.
"""

import functools
import io
from types import ModuleType

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from samjax.data.pixels import to_eight_bits


class BadImage(ValueError):
    """A file cannot be read as an image."""


class ImageFile:
    """An image of which only the header is read.

    Args:
        data: the bytes of a file.

    Attributes:
        size: h, w in pixels, as stored.

    Raises:
        BadImage: the bytes are no image, or of more pixels than Pillow's bound,
            `PIL.Image.MAX_IMAGE_PIXELS`.
    """

    def __init__(self, data: bytes):
        self._data = data
        self._is_jpeg = data[:2] == b"\xff\xd8"
        self.size = self._jpeg_size() if self._is_jpeg else self._other_size()
        _check_pixels(self.size)

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
        if not self._is_jpeg:
            _resize(self._decode_other(), self.size, out)
            return
        import simplejpeg

        eighths = _eighths(self.size, out.shape[:2])
        height, width = (-(-side * eighths // 8) for side in self.size)
        # Straight to where it belongs, if it needs no resizing.
        at_once = self.size == out.shape[:2] and out.flags.c_contiguous
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
            scaled = self.size[0] * eighths / 8, self.size[1] * eighths / 8
            _resize(pixels, scaled, out)

    def _jpeg_size(self) -> tuple[int, int]:
        import simplejpeg

        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(self._data)
        except (ValueError, RuntimeError) as error:
            raise BadImage(str(error)) from error
        return int(height), int(width)

    def _other_size(self) -> tuple[int, int]:
        try:
            with Image.open(io.BytesIO(self._data)) as image:
                return image.height, image.width
        except UnidentifiedImageError as error:
            # Pillow names the address in memory, which differs from run to run.
            raise BadImage("not an image of a known format") from error
        except Exception as error:
            # Pillow's readers raise what their formats make them.
            raise BadImage(str(error)) from error

    def _decode_other(self) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(self._data)) as image:
                if image.mode.startswith("I"):
                    pixels = np.asarray(image)
                    if pixels.min() < 0 or pixels.max() > 65535:
                        raise BadImage("integers of more than 16 bits")
                    grey = to_eight_bits(pixels.astype(np.uint16))
                    return np.repeat(grey[:, :, None], 3, axis=2)
                if image.mode == "F":
                    raise BadImage("floats, of which the scale cannot be known")
                return np.asarray(image.convert("RGB"))
        except BadImage:
            raise
        except Exception as error:
            raise BadImage(str(error)) from error


def _check_pixels(size: tuple[int, int]) -> None:
    bound = Image.MAX_IMAGE_PIXELS
    if min(size) < 1 or (bound is not None and size[0] * size[1] > bound):
        raise BadImage(f"{size[0]} x {size[1]} pixels, expected at most {bound}")


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
