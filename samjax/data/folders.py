"""The images of a folder: one rule for all who look for them.

An image is a regular file, or a link to one, with an image's ending, that is not hidden.
Folders, sockets, FIFOs, devices and links that lead nowhere are passed over whatever
they are called. Files with the endings of images that are not looked for (`.heic`,
`.avif`) are passed over too, and can be named to the user.
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
"""The endings of images in a folder or a tar, in lower case; a file that is named itself
may have any."""

OTHER_SUFFIXES = frozenset(
    {
        *(".apng", ".arw", ".avif", ".cr2", ".cr3", ".dcm", ".dds", ".dib", ".dng"),
        *(".eps", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif"),
        *(".jp2", ".jpe", ".jpx", ".jxl", ".mpo", ".nef", ".nii", ".npy", ".npz"),
        *(".orf", ".pbm", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".qoi"),
        *(".raf", ".raw", ".rw2", ".svg", ".svs", ".tga", ".xbm", ".xpm"),
    }
)
"""Endings of images that are passed over in a folder, and named."""


class Listing(NamedTuple):
    """The images of a folder, and what looks like one and is none.

    Attributes:
        images: in order of their names.
        passed_over: names of files that may be images and are not looked at.
    """

    images: tuple[Path, ...]
    passed_over: tuple[str, ...]

    def remark(self, folder: str | os.PathLike) -> str | None:
        """One line about what was passed over; None where that is nothing."""
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
    """Whether a file of this name, without its folder, counts as an image."""
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def list_images(folder: str | os.PathLike) -> Listing:
    """Lists the images of a folder, without those of its folders.

    Raises:
        OSError: the folder cannot be read.
    """
    images: list[Path] = []
    passed_over: list[str] = []
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in image_entries(found, passed_over):
        images.append(Path(folder) / entry.name)
    return Listing(tuple(images), tuple(passed_over))


def image_entries(
    entries: Iterable[os.DirEntry[str]], passed_over: list[str] | None = None
) -> Iterator[os.DirEntry[str]]:
    """Picks the images of a folder's entries.

    Args:
        entries: of `os.scandir`.
        passed_over: takes the names of files that may be images and are not looked at.
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
    """Opens a regular file to be read.

    Whatever else is there (a FIFO, a device) is refused at once, where opening it would
    wait for ever.

    Raises:
        ValueError: it is no regular file.
        OSError: it is a folder, is not there, or cannot be read.
    """

    def opener(name: str, flags: int) -> int:
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
        # A link in a circle.
        return False
