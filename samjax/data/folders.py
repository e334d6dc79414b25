"""The images and other files of a folder, by one rule for all callers.

An image is a regular file, or a link to one, that has an image suffix and is not
hidden. Folders, sockets, FIFOs, devices and dangling links are skipped whatever their
names. Files with suffixes of other image formats (`.heic`, `.avif`) are skipped too,
and listed for a warning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

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


def list_images_below(
    folder: str | os.PathLike, skip: Callable[[Path], bool] = lambda path: False
) -> Listing:
    """Lists the images of a folder and of all folders below it.

    Hidden folders and links to folders are passed over: a link may lead out of the
    folder, or back into it.

    Args:
        folder: The folder.
        skip: Whether a folder below it is passed over too.

    Returns:
        The images in order of their names, those of a folder before those of folders in
        it; files of other image formats by their path below `folder`, with `/`.

    Raises:
        OSError: A folder cannot be read.
    """
    listing = list_images(folder)
    images, passed_over = list(listing.images), list(listing.passed_over)
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )
    for name in names:
        inside = Path(folder) / name
        if not skip(inside):
            below = list_images_below(inside, skip)
            images += below.images
            passed_over += [f"{name}/{other}" for other in below.passed_over]
    return Listing(tuple(images), tuple(passed_over))


def list_files(folder: str | os.PathLike, suffix: str) -> list[Path]:
    """Lists the files of a folder with a suffix, in any case, in order of their names.

    Hidden files are skipped, such as the `._NAME` that macOS leaves beside `NAME`.
    Folders and special files of such a name are listed, so that callers report them.

    Raises:
        OSError: The folder cannot be read.
    """
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if PurePath(entry.name).suffix.lower() == suffix
            and not entry.name.startswith(".")
        ]
    return [Path(folder) / name for name in sorted(names)]


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


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        # A circular link.
        return False
