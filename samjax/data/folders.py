"""The images of a folder, by one rule for all callers.

An image is a regular file, or a link to one, that has an image suffix and is not
hidden. Folders, sockets, FIFOs, devices and dangling links are skipped whatever their
names. Files with suffixes of other image formats (`.heic`, `.avif`) are skipped too,
and listed for a warning.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""Suffixes of images in a folder or a tar, in lower case; a file given by its own path
may have any suffix."""

OTHER_SUFFIXES = frozenset(
    {
        *(".apng", ".arw", ".avif", ".cr2", ".cr3", ".dcm", ".dds", ".dib", ".dng"),
        *(".eps", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif"),
        *(".jp2", ".jpe", ".jpx", ".jxl", ".mpo", ".nef", ".nii", ".npy", ".npz"),
        *(".orf", ".pbm", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".qoi"),
        *(".raf", ".raw", ".rw2", ".svg", ".svs", ".tga", ".xbm", ".xpm"),
    }
)
"""Suffixes of other image formats, whose files are skipped with a warning."""


class Listing(NamedTuple):
    """The images of a folder, and the files of other image formats.

    Attributes:
        images: Paths in order of their names.
        passed_over: Names of skipped files that may be images.
    """

    images: tuple[Path, ...]
    passed_over: tuple[str, ...]

    def remark(self, folder: str | os.PathLike) -> str | None:
        """Returns a one-line warning about the skipped files; None if there are none."""
        if not self.passed_over:
            return None
        count = len(self.passed_over)
        shown = ", ".join(self.passed_over[:3]) + (", ..." if count > 3 else "")
        files = "1 file was" if count == 1 else f"{count} files were"
        return (
            f"{folder}: {files} passed over ({shown}): folders are looked through for "
            f"{', '.join(sorted(SUFFIXES))}; convert them, or name them one by one"
        )


def has_image_name(name: str) -> bool:
    """Whether a file name, without a folder, is that of an image."""
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def list_images(folder: str | os.PathLike) -> Listing:
    """Lists the images of a folder, not recursively.

    Raises:
        OSError: The folder cannot be read.
    """
    images: list[Path] = []
    passed_over: list[str] = []
    with os.scandir(folder) as entries:
        in_order = sorted(entries, key=lambda entry: entry.name)
    for entry in image_entries(in_order, passed_over):
        images.append(Path(folder) / entry.name)
    return Listing(tuple(images), tuple(passed_over))


def image_entries(
    entries: Iterable[os.DirEntry[str]], passed_over: list[str] | None = None
) -> Iterator[os.DirEntry[str]]:
    """Filters the images among the entries of a folder.

    Args:
        entries: Entries from `os.scandir`.
        passed_over: A list to which the names of skipped files of other image formats
            are appended.
    """
    for entry in entries:
        if entry.name.startswith("."):
            continue
        is_image = has_image_name(entry.name)
        is_other = PurePath(entry.name).suffix.lower() in OTHER_SUFFIXES
        if not (is_image or is_other) or not _is_file(entry):
            continue
        if is_image:
            yield entry
        elif passed_over is not None:
            passed_over.append(entry.name)


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


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        # A circular link.
        return False
