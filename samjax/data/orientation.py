"""The two frames of a photo, stored and upright, and EXIF's orientation between them.

A camera stores pixels in the order of its sensor and records its orientation in EXIF,
an integer from 1 to 8. `stored` pixels are those of the file; `upright` pixels are
rotated or mirrored by the orientation, as viewers and labelling tools show them. The
field `frame` of a record names the frame of its masks (`samjax.data.schema.ImageInfo`).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image

FrameName = Literal["upright", "stored"]

_TAG = 0x0112
# Orientations in which rows of the stored image are columns of the upright one; those
# whose rows, or columns, are in reverse order after that transposition.
_TRANSPOSED = (5, 6, 7, 8)
_ROWS_FLIPPED = (3, 4, 7, 8)
_COLUMNS_FLIPPED = (2, 3, 6, 7)
# Number of chunks after which the search for a PNG's EXIF ends.
_MOST_CHUNKS = 1 << 16


def declared_frame(*objects: Any) -> FrameName | None:
    """Returns the frame that an annotation file declares for its masks, None for none.

    Args:
        objects: JSON objects that may have a field `frame`, the most specific first.
            Other values of the field are ignored, as other programs may use the name.
    """
    for fields in objects:
        frame = fields.get("frame") if isinstance(fields, Mapping) else None
        if frame == "upright" or frame == "stored":
            return frame
    return None


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Converts the (h, w) of a stored image to upright, or back (its own inverse)."""
    return (size[1], size[0]) if orientation in _TRANSPOSED else size


def upright_view(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the upright view of stored pixels, (h, w, ...)."""
    if orientation in _TRANSPOSED:
        stored = stored.swapaxes(0, 1)
    return _flipped(stored, orientation)


def stored_view(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the stored view of upright pixels, (h, w, ...).

    Stored pixels written to the view are upright in the array.
    """
    flipped = _flipped(upright, orientation)
    return flipped.swapaxes(0, 1) if orientation in _TRANSPOSED else flipped


def stored_window(
    size: tuple[int, int], window: tuple[int, int, int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Converts a window of the upright image to the stored pixels.

    Args:
        size: (h, w) of the upright image.
        window: Top, left, bottom and right, upright.
        orientation: EXIF's orientation of the image.
    """
    top, left, bottom, right = window
    if orientation in _ROWS_FLIPPED:
        top, bottom = size[0] - bottom, size[0] - top
    if orientation in _COLUMNS_FLIPPED:
        left, right = size[1] - right, size[1] - left
    if orientation in _TRANSPOSED:
        top, left, bottom, right = left, top, right, bottom
    return top, left, bottom, right


def orientation_of(image: Image.Image) -> int:
    """Reads the orientation of an image opened by Pillow, without decoding pixels."""
    exif: Any = None
    with contextlib.suppress(Exception):
        if image.format == "TIFF":
            # TIFF's own tag alone, as in other TIFF readers; Pillow would use XMP too.
            exif = getattr(image, "tag_v2", {})
        # Damaged EXIF is ignored: viewers show such a photo as stored.
        if image.format == "PNG" and not _has_exif(image):
            # `image.getexif` decodes a PNG to find EXIF that follows the pixels.
            exif = _exif_of_chunks(getattr(image, "fp", None))
        if exif is None:
            exif = Image.Image.getexif(image)
        value = exif.get(_TAG, 1)
        return value if value in range(1, 9) else 1
    return 1


def left_to_turn(image: Image.Image) -> int:
    """Returns the orientation that remains to be applied to Pillow's decoded pixels.

    Pillow turns TIFF files upright itself when it decodes them, and reports the upright
    size before.
    """
    return 1 if image.format == "TIFF" else orientation_of(image)


def _flipped(pixels: np.ndarray, orientation: int) -> np.ndarray:
    rows = slice(None, None, -1 if orientation in _ROWS_FLIPPED else 1)
    columns = slice(None, None, -1 if orientation in _COLUMNS_FLIPPED else 1)
    return pixels[rows, columns]


def _has_exif(image: Image.Image) -> bool:
    return "exif" in image.info or "Raw profile type exif" in image.info


def _exif_of_chunks(file: Any) -> Image.Exif | None:
    """Finds the EXIF chunk of a PNG file; restores the file's position."""
    if file is None:
        return None
    position = file.tell()
    try:
        file.seek(8)
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return None
            (length,) = struct.unpack(">I", head[:4])
            if head[4:] == b"eXIf":
                exif = Image.Exif()
                exif.load(b"Exif\0\0" + file.read(min(length, 1 << 16)))
                return exif
            file.seek(length + 4, 1)
    finally:
        file.seek(position)
    return None
