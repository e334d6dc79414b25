"""Race-free opening of files below a folder: no symbolic link on the path is followed.

A path that was checked may lead elsewhere when it is used, if a file or folder on it was
exchanged for a link in between. Here every part of a path is opened relative to the
descriptor of the part before, and callers work on the open file.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

# Windows can open nothing relative to a folder, and has no such flags.
_WALKS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
# O_NONBLOCK: opening a pipe that replaced a file must not block.
_READ = (
    os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
_LINK_ERRORS = (errno.ELOOP, errno.EMLINK)


class Entry(NamedTuple):
    """A name in an open folder, as the functions of `os` take it.

    Attributes:
        name: Name in the folder; the whole path where `folder` is None.
        folder: Descriptor of the folder, for `dir_fd`; None on systems without.
    """

    name: str
    folder: int | None

    def status(self) -> os.stat_result:
        """Returns the status of the entry now; links are not followed."""
        if self.folder is None:
            return os.lstat(self.name)
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)


@contextlib.contextmanager
def reach(root: Path, name: str, *, make: bool = False) -> Iterator[Entry]:
    """Yields the entry of a path, with its folder open.

    Args:
        root: Folder that the path is relative to; resolved, no link.
        name: Path below it, with `/`; the caller has checked its parts.
        make: Whether missing folders are created.

    Raises:
        OSError: A folder is missing, or is no folder (a link, perhaps).
    """
    *folders, last = name.split("/")
    if not _WALKS:
        yield Entry(os.fspath(_checked_parent(root, folders, make) / last), None)
        return
    descriptor = os.open(root, _FOLDER)
    try:
        for folder in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=descriptor)
            below = os.open(folder, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield Entry(last, descriptor)
    finally:
        os.close(descriptor)


def open_below(root: Path, name: str) -> BufferedReader:
    """Opens a regular file for reading; no part of its path may be a link.

    Raises:
        FileNotFoundError: It is missing, or no regular file.
        OSError: It is not readable.
    """
    path = root / name
    with reach(root, name) as entry:
        stream = open(  # noqa: SIM115
            path,
            "rb",
            opener=lambda _, flags: os.open(entry.name, _READ, dir_fd=entry.folder),
        )
    try:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
        if not _WALKS and not os.path.samestat(os.fstat(stream.fileno()), path.lstat()):
            raise OSError(errno.ELOOP, "a link", str(path))
    except BaseException:
        stream.close()
        raise
    return stream


def open_inside(root: Path, name: str) -> BufferedReader:
    """Opens a regular file; it may be a link to another file below the same folder.

    Raises:
        OSError: As for `open_below`, or the link leads out of the folder or to a hidden
            file.
    """
    try:
        return open_below(root, name)
    except OSError as error:
        if error.errno not in _LINK_ERRORS:
            raise
    return open_below(root, target_inside(root, name))


def target_inside(root: Path, name: str) -> str:
    """Returns the target of a link, as a path below the folder that has the link.

    Raises:
        OSError: It leads nowhere, out of the folder, or to a hidden file.
    """
    path = root / name
    try:
        target = path.resolve(strict=True).relative_to(root)
    except RuntimeError as error:
        raise OSError(errno.ELOOP, "the link leads to itself", str(path)) from error
    except ValueError as error:
        raise OSError(errno.ELOOP, "the link leads out", str(path)) from error
    if not target.parts or any(part.startswith(".") for part in target.parts):
        raise OSError(errno.ELOOP, "the link leads to what is hidden", str(path))
    return target.as_posix()


@contextlib.contextmanager
def scan(root: Path, inside: str) -> Iterator[Iterator[os.DirEntry]]:
    """Yields the entries of a folder below another; it may not be a link.

    Raises:
        OSError: It is missing, a link, or not readable.
    """
    with (
        reach(root, f"{inside}/." if inside else ".") as entry,
        os.scandir(entry.name if entry.folder is None else entry.folder) as entries,
    ):
        yield entries


def _checked_parent(root: Path, folders: Sequence[str], make: bool) -> Path:
    """Returns a path's parent after a check by path, for systems without `dir_fd`."""
    parent = root.joinpath(*folders)
    if make:
        parent.mkdir(parents=True, exist_ok=True)
    if parent.resolve(strict=True) != parent:
        raise OSError(errno.ELOOP, "a link", str(parent))
    return parent
