"""Guards against what foreign files hold, and where readers report it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from samjax.data.bounds import BYTES, max_bytes
from samjax.data.folders import open_regular
from samjax.data.schema import Record

Problems = Callable[[ValueError], None]
"""Is called with what a reader had to leave out; may raise it."""

# COCO counts pixels in 32 bits; more than this is a damaged header.
_MOST_PIXELS = 1 << 31

# Digits of a number that a reader takes for one: an id of 64 bits has 19.
_LONGEST_NUMBER = 19

# File systems allow 255; endings and the temporary name of a file take their share.
_LONGEST_NAME = 220


def raise_problem(problem: ValueError) -> None:
    """Raises what it is given: readers stop at the first problem unless told."""
    raise problem


def check_file_name(name: Any, place: str) -> str:
    """Returns a file's name if it stays in whatever folder it is put in.

    Args:
        name: what a file or a caller says that another file is called.
        place: whose name it is, for the error.

    Raises:
        ValueError: it is no plain name: it has a folder, is hidden, or no file can be
            called so.
    """
    if isinstance(name, str) and _is_plain(name):
        return name
    raise ValueError(
        f"{place}: got the file name {_shown(name)}, expected a plain one: no folder, "
        f"no leading dot, no control characters, at most {_LONGEST_NAME} bytes of "
        "UTF-8. Rename the file, and its entry"
    )


def check_path(name: Any, place: str) -> str:
    """Returns a file's name, perhaps with folders, that does not lead out of its folder.

    Raises:
        ValueError: a part of it is no plain name.
    """
    if isinstance(name, str) and all(map(_is_plain, name.split("/"))):
        return name
    raise ValueError(
        f"{place}: got the file name {_shown(name)}, expected a plain one or one below "
        "a folder, which no other image has: no leading dots, no control characters, "
        f"at most {_LONGEST_NAME} bytes of UTF-8 each. Rename the file, and its entry"
    )


def record_stem(record: Record) -> str:
    """Returns the name of a record's image without its ending, safe in a path.

    Raises:
        ValueError: the image's name is not plain.
    """
    image = record["image"]
    place = f"image {image['image_id']}"
    return PurePosixPath(check_file_name(image["file_name"], place)).stem


def whole_number(value: Any) -> int | None:
    """Returns the integer that a value from JSON means: 480, 480.0 or "480"; else None."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if abs(value) < 1 << 63 and value.is_integer() else None
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_NUMBER:
        return int(value) if value.isascii() and value.isdigit() else None
    return None


def check_size(height: Any, width: Any, place: str) -> tuple[int, int]:
    """Returns the size (h, w) of an image if there can be such an image.

    Raises:
        ValueError: the sides are not positive whole numbers, or too large.
    """
    h, w = whole_number(height), whole_number(width)
    if h is not None and w is not None and min(h, w) > 0 and h * w < _MOST_PIXELS:
        return h, w
    raise ValueError(
        f"{place}: got height {_shown(height)} and width {_shown(width)}, expected "
        "positive integers of fewer than 2**31 pixels together"
    )


def read_bounded(path: Path, limit: int) -> bytes:
    """Reads a regular file that has at most `limit` bytes.

    `SAMJAX_MAX_BYTES` raises the limit (`samjax.data.bounds`).

    Raises:
        ValueError: it has more, or is a pipe, a socket or a device.
        OSError: it cannot be read.
    """
    limit = max_bytes(limit)
    with open_regular(path) as file:
        # A limit that was lifted is no size to make room for.
        content = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    if len(content) > limit:
        raise ValueError(
            f"{path}: got more than {limit} bytes, expected at most that many: this is "
            f"no such file, or it is damaged; if it is right, set {BYTES} to its size"
        )
    return content


def _is_plain(name: str) -> bool:
    # Windows' rules for what a folder is include those of all other systems.
    if PureWindowsPath(name).name != name or name.startswith("."):
        return False
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < length <= _LONGEST_NAME and min(name) >= " "


def _shown(value: Any) -> str:
    return ascii(value)[:80]
