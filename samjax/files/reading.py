"""Opening of regular files only, and reading at offsets, on all systems."""

import os
import stat
import threading
from typing import BinaryIO

# Windows has no `pread`: position and reading are two calls there.
_SEEKING = threading.Lock()


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a regular file for reading.

    A FIFO or a device is rejected at once; opening a FIFO would block until it has a
    writer.

    Raises:
        ValueError: The path is not a regular file.
        OSError: The path is a folder, does not exist, or cannot be read.
    """

    def opener(name: str, flags: int) -> int:
        # Checked after opening, by the descriptor: a check by name before would race.
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    file = open(path, "rb", opener=opener)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(
            f"{os.fspath(path)} is a pipe, a socket or a device, expected a regular file"
        )
    return file


def read_regular(path: str | os.PathLike) -> bytes:
    """Reads a regular file; see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


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
