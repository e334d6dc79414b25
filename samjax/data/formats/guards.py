"""Validation of names, sizes and lengths in untrusted files, and reporting of problems."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from samjax.data.bounds import BYTES, max_bytes
from samjax.data.folders import open_regular
from samjax.data.schema import Record

Problems = Callable[[ValueError], None]
"""A callback for the error of each part that a reader leaves out; it may raise the error."""

# COCO counts pixels in 32 bits; a larger size is from a damaged header.
_MOST_PIXELS = 1 << 31

# Digits of the longest number that is parsed: an id of 64 bits has 19.
_LONGEST_NUMBER = 19

# File systems allow 255 bytes; suffixes and the temporary name of a file need some.
_LONGEST_NAME = 220


def raise_problem(problem: ValueError) -> None:
    """Raises the problem; the default callback, which stops a reader at the first one."""
    raise problem


def check_file_name(name: Any, context: str) -> str:
    """Returns a file name if it is plain, so that it cannot lead out of a folder.

    Args:
        name: A file name from an untrusted file or a caller.
        context: Prefix of the error message, which names the owner.

    Raises:
        ValueError: The name is not plain: it has a folder, is hidden, or is invalid.
    """
    if isinstance(name, str) and _is_plain(name):
        return name
    raise ValueError(
        f"{context}: got the file name {_shown(name)}, expected a plain one: no folder, "
        f"no leading dot, no control characters, at most {_LONGEST_NAME} bytes of "
        "UTF-8. Rename the file, and its entry"
    )


def check_path(name: Any, context: str) -> str:
    """Returns a relative path if all of its parts are plain names.

    Args:
        name: A file name, perhaps with folders, from an untrusted file or a caller.
        context: Prefix of the error message, which names the owner.

    Raises:
        ValueError: A part of it is not a plain name.
    """
    if isinstance(name, str) and all(map(_is_plain, name.split("/"))):
        return name
    raise ValueError(
        f"{context}: got the file name {_shown(name)}, expected a plain one or one below "
        "a folder, which no other image has: no leading dots, no control characters, "
        f"at most {_LONGEST_NAME} bytes of UTF-8 each. Rename the file, and its entry"
    )


def record_stem(record: Record) -> str:
    """Returns the name of a record's image without its suffix, safe in a path.

    Raises:
        ValueError: The image's name is not plain.
    """
    image = record["image"]
    context = f"image {image['image_id']}"
    return PurePosixPath(check_file_name(image["file_name"], context)).stem


def whole_number(value: Any) -> int | None:
    """Converts 480, 480.0 or "480" from JSON to an integer; other values to None."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if abs(value) < 1 << 63 and value.is_integer() else None
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_NUMBER:
        return int(value) if value.isascii() and value.isdigit() else None
    return None


def check_size(height: Any, width: Any, context: str) -> tuple[int, int]:
    """Returns the size (h, w) of an image if it is valid.

    Raises:
        ValueError: The sides are not positive whole numbers, or too large.
    """
    h, w = whole_number(height), whole_number(width)
    if h is not None and w is not None and min(h, w) > 0 and h * w < _MOST_PIXELS:
        return h, w
    raise ValueError(
        f"{context}: got height {_shown(height)} and width {_shown(width)}, expected "
        "positive integers of fewer than 2**31 pixels together"
    )


def read_bounded(path: Path, limit: int) -> bytes:
    """Reads a regular file that has at most `limit` bytes.

    `SAMJAX_MAX_BYTES` raises the limit (`samjax.data.bounds`).

    Raises:
        ValueError: The file is longer, or is a pipe, a socket or a device.
        OSError: The file cannot be read.
    """
    limit = max_bytes(limit)
    with open_regular(path) as file:
        # `read` allocates its argument, and a removed limit is 2**62: the file's own
        # size bounds it, plus a byte that shows that the file is longer.
        content = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    if len(content) > limit:
        raise ValueError(
            f"{path}: got more than {limit} bytes, expected at most that many: this is "
            f"no such file, or it is damaged; if it is right, set {BYTES} to its size"
        )
    return content


def _is_plain(name: str) -> bool:
    # A plain name by Windows' rules is plain on all other systems too.
    if PureWindowsPath(name).name != name or name.startswith("."):
        return False
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < length <= _LONGEST_NAME and min(name) >= " "


def _shown(value: Any) -> str:
    return ascii(value)[:80]
