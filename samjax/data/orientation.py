"""The frames of a photo: its pixels as they are stored, and as they are shown.

A camera stores what its sensor gives and notes how it was held: EXIF's orientation, a
number from 1 to 8. `stored` pixels are those of the file, `upright` ones are turned by
that number, as all viewers and labelling tools show them. A record says in `frame`
which of the two its masks lie on (`samjax.data.schema.ImageInfo`).
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
# Rows of the stored image are columns of the upright one.
_TRANSPOSED = (5, 6, 7, 8)
_ROWS_FLIPPED = (3, 4, 7, 8)
_COLUMNS_FLIPPED = (2, 3, 6, 7)
# A PNG of more chunks than this is looked through no further.
_MOST_CHUNKS = 1 << 16


def declared_frame(*places: Any) -> FrameName | None:
    """Returns the frame that a file says its masks are in.

    Args:
        places: JSON objects that may have a field `frame`, the nearest first. Other
            programs may have one of that name for something else.
    """
    for place in places:
        found = place.get("frame") if isinstance(place, Mapping) else None
        if found == "upright" or found == "stored":
            return found
    return None


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Returns the (h, w) of a stored image turned upright, and the other way round."""
    return (size[1], size[0]) if orientation in _TRANSPOSED else size


def upright_view(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Returns a view of stored pixels, (h, w, ...), as they are upright."""
    if orientation in _TRANSPOSED:
        stored = stored.swapaxes(0, 1)
    return _flipped(stored, orientation)


def stored_view(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Returns a view of upright pixels, (h, w, ...), as they are stored.

    What is written there is upright in the array that was given.
    """
    flipped = _flipped(upright, orientation)
    return flipped.swapaxes(0, 1) if orientation in _TRANSPOSED else flipped


def stored_window(
    size: tuple[int, int], window: tuple[int, int, int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Returns where a window of an upright image lies among the stored pixels.

    Args:
        size: (h, w) of the upright image.
        window: its top, left, bottom and right.
        orientation: of the image.
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
    """Reads the orientation of an image that Pillow has opened, without its pixels."""
    exif: Any = None
    with contextlib.suppress(Exception):
        if image.format == "TIFF":
            # Its own tag alone, which is all that other readers of TIFF look at.
            exif = getattr(image, "tag_v2", {})
        # Damaged EXIF is of no consequence: such a photo is shown as it is stored.
        if image.format == "PNG" and not _has_exif(image):
            # `image.getexif` of a PNG would decode it to look behind its pixels.
            exif = _exif_of_chunks(getattr(image, "fp", None))
        if exif is None:
            exif = Image.Image.getexif(image)
        value = exif.get(_TAG, 1)
        return value if value in range(1, 9) else 1
    return 1


def left_to_turn(image: Image.Image) -> int:
    """The orientation that the pixels have which Pillow gives of an image it has opened.

    TIFF files it turns itself when it decodes them, and gives the size that they have
    then.
    """
    return 1 if image.format == "TIFF" else orientation_of(image)


def _flipped(pixels: np.ndarray, orientation: int) -> np.ndarray:
    rows = slice(None, None, -1 if orientation in _ROWS_FLIPPED else 1)
    columns = slice(None, None, -1 if orientation in _COLUMNS_FLIPPED else 1)
    return pixels[rows, columns]


def _has_exif(image: Image.Image) -> bool:
    return "exif" in image.info or "Raw profile type exif" in image.info


def _exif_of_chunks(file: Any) -> Image.Exif | None:
    """Finds the EXIF of a PNG file wherever it stands, and leaves the file as it was."""
    if file is None:
        return None
    place = file.tell()
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
        file.seek(place)
    return None
