"""Files below a folder, opened once: no link on the way is followed, at any moment.

A path that was checked and is used later may lead elsewhere by then, when somebody puts
a link in the place of a file or a folder. Here every part is opened below the one
before, and whoever needs the file works on the open one from then on.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

# Windows opens nothing relative to a folder, and has no such flags.
_WALKS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
# A pipe that took the place of a file is not waited for.
_READ = (
    os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
_LINK_ERRORS = (errno.ELOOP, errno.EMLINK)


class Place(NamedTuple):
    """A name in a folder that is held open; for the functions of `os`.

    Attributes:
        name: In the folder; the whole path where folders cannot be held.
        folder: The descriptor, for `dir_fd`, or None.
    """

    name: str
    folder: int | None

    def status(self) -> os.stat_result:
        """What is there now; of a link, the link."""
        if self.folder is None:
            return os.lstat(self.name)
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)


@contextlib.contextmanager
def reach(root: Path, name: str, *, make: bool = False) -> Iterator[Place]:
    """Holds the folder of a name open.

    Args:
        root: Where the name begins; no link, resolved.
        name: A path below it, with `/`; the caller has checked its parts.
        make: Makes the folders that are missing.

    Raises:
        OSError: A folder is missing, or is none: a link, perhaps.
    """
    *folders, last = name.split("/")
    if not _WALKS:
        yield Place(os.fspath(_checked_parent(root, folders, make) / last), None)
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
        yield Place(last, descriptor)
    finally:
        os.close(descriptor)


def open_below(root: Path, name: str) -> BufferedReader:
    """Opens a regular file for reading; nothing on the way may be a link.

    Raises:
        OSError: It is missing, no regular file, or not to be read.
    """
    path = root / name
    with reach(root, name) as place:
        stream = open(  # noqa: SIM115
            path,
            "rb",
            opener=lambda _, flags: os.open(place.name, _READ, dir_fd=place.folder),
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
    """Opens a regular file; it may be a link to another one below the same folder.

    Raises:
        OSError: As for `open_below`, or the link leads out, or to what is hidden.
    """
    try:
        return open_below(root, name)
    except OSError as error:
        if error.errno not in _LINK_ERRORS:
            raise
    return open_below(root, target_inside(root, name))


def target_inside(root: Path, name: str) -> str:
    """The path below a folder that a link in it leads to, which is no link now.

    Raises:
        OSError: It leads nowhere, out of the folder, or to what is hidden.
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
    """Lists a folder below another, which is no link.

    Raises:
        OSError: It is missing, a link, or not to be read.
    """
    with (
        reach(root, f"{inside}/." if inside else ".") as place,
        os.scandir(place.name if place.folder is None else place.folder) as entries,
    ):
        yield entries


def _checked_parent(root: Path, folders: Sequence[str], make: bool) -> Path:
    """Checks by path, which is as much as such a system lets one do."""
    parent = root.joinpath(*folders)
    if make:
        parent.mkdir(parents=True, exist_ok=True)
    if parent.resolve(strict=True) != parent:
        raise OSError(errno.ELOOP, "a link", str(parent))
    return parent
