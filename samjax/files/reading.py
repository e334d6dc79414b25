"""Reading at offsets of an open file, on all systems."""

import os
import threading

# Windows has no `pread`: position and reading are two calls there.
_SEEKING = threading.Lock()


def open_binary(path: str | os.PathLike) -> int:
    """Returns a descriptor of a file, open for reading.

    Raises:
        OSError: The file cannot be opened.
    """
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))


def read_at(file: int, size: int, offset: int) -> bytes:
    """Reads bytes at an offset; fewer at the end of the file.

    Args:
        file: Descriptor of the file.
        size: Number of bytes.
        offset: Offset of the first one.

    Raises:
        OSError: The file cannot be read.
    """
    if hasattr(os, "pread"):
        return os.pread(file, size, offset)
    with _SEEKING:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, size)
