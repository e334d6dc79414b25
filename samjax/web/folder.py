"""The images of a folder, by name and by id.

An id is a hash of a name, and is looked up among the listed files: no part of a request
ever enters a path, except the names of uploads, which `path_for` checks. Hidden files and
folders are skipped, and so is `.samjax`. Symbolic links to files inside the folder are
images; links to folders are not followed. A file is read through `Gallery.open`, never by
its path, where another file may be by then.
"""

import base64
import errno
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from samjax.data.folders import SUFFIXES, has_image_name
from samjax.data.formats.guards import check_file_name
from samjax.engine.file_versions import file_version
from samjax.web import beneath
from samjax.web.image_files import ImageHeader, NotAnImage, read_header
from samjax.web.refusals import Refusal, not_found, shown

# Seconds for which a listing of the folder is reused.
FRESH = 2.0
_DEEPEST = 16
_LONGEST_NAME = 1000
# Errors of opening a file that is missing, or was exchanged for a link or a pipe.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO)


class FolderImage(NamedTuple):
    """A file with the suffix of an image.

    Attributes:
        id: Hash of its name, safe in URLs.
        name: Path in the folder, with `/`.
        path: Path on the disk; to read the file, use `Gallery.open`.
        bytes: Size of the file.
        changed: Time of the last write, in nanoseconds.
        problem: Reason why its name cannot be used; None for most.
    """

    id: str
    name: str
    path: Path
    bytes: int
    changed: int
    problem: str | None

    @property
    def version(self) -> str:
        """Hash of the path, size and time of the last write, which stands for the content."""
        return file_version(self.path, self.bytes, self.changed)


class Gallery:
    """The images of a folder, listed anew when they may have changed.

    Threads may share it. The header of an image is cached until its file changes, so that
    a folder of many thousands is listed without delay.

    Args:
        folder: The folder.
        most_pixels: Bound of the pixels of an image.
        clock: Seconds from any origin.
    """

    def __init__(
        self,
        folder: Path,
        most_pixels: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.folder = folder.resolve(strict=True)
        self._most_pixels = most_pixels
        self._clock = clock
        self._lock = threading.Lock()
        self._files: dict[str, FolderImage] = {}
        self._looked: float | None = None
        self._headers: dict[str, tuple[str, ImageHeader | str]] = {}

    def files(self) -> list[FolderImage]:
        """Returns all images, in natural order of their names."""
        with self._lock:
            if self._looked is None or self._clock() - self._looked > FRESH:
                files = sorted(
                    find_files(self.folder), key=lambda file: natural_key(file.name)
                )
                self._files = {file.id: file for file in files}
                self._headers = {
                    key: kept
                    for key, kept in self._headers.items()
                    if key in self._files
                }
                self._looked = self._clock()
            return list(self._files.values())

    def file(self, image_id: str) -> FolderImage:
        """Returns the file of an id, with its current status.

        Raises:
            Refusal: No image has the id.
        """
        with self._lock:
            known = self._files.get(image_id)
        if known is None:
            self.files()
            known = self._files.get(image_id)
        now = known and self._current(known.path)
        if now is None:
            raise _missing(image_id)
        return now

    def open(self, file: FolderImage) -> BufferedReader:
        """Opens a file for reading, unless it changed since it was listed.

        Links that appeared on the path meanwhile are not followed out of the folder, and
        the content is the one that `file.version` stands for.

        Raises:
            Refusal: It was removed, exchanged or changed, or cannot be read.
        """
        try:
            stream = beneath.open_inside(self.folder, self._name(file.path))
        except PermissionError as error:
            raise Refusal(
                422, "unusable_image", f"{file.name}: {_unreadable(error)}"
            ) from error
        except OSError as error:
            if error.errno in _GONE:
                raise _missing(file.id) from error
            raise Refusal(
                503, "storage", f"{file.name}: {_unreadable(error)}; try again"
            ) from error
        status = os.fstat(stream.fileno())
        if (status.st_size, status.st_mtime_ns) != (file.bytes, file.changed):
            stream.close()
            raise Refusal(
                409,
                "changed_meanwhile",
                f"{file.name} was changed during the request: send it again",
            )
        return stream

    def header(self, file: FolderImage) -> ImageHeader | str:
        """Returns the header of an image, or the reason why it cannot be used."""
        if file.problem is not None:
            return file.problem
        version, kept = self._headers.get(file.id, (None, None))
        if kept is not None and version == file.version:
            return kept
        try:
            with self.open(file) as stream:
                header = read_header(stream, self._most_pixels)
        except Refusal as refusal:
            # Not cached: it may be readable a moment later.
            return refusal.message
        except NotAnImage as error:
            header = str(error)
        except OSError as error:
            header = _unreadable(error)
        with self._lock:
            self._headers[file.id] = (file.version, header)
        return header

    def usable(self, image_id: str) -> tuple[FolderImage, ImageHeader]:
        """Returns the file and header of an image that can be used.

        Raises:
            Refusal: No image has the id, or it cannot be used.
        """
        file = self.file(image_id)
        header = self.header(file)
        if isinstance(header, str):
            raise Refusal(422, "unusable_image", f"{file.name}: {header}")
        return file, header

    def forget(self) -> None:
        """Discards the listing, after a file was added."""
        with self._lock:
            self._looked = None

    def path_for(self, name: str) -> Path:
        """Returns the path for a new image of a name.

        Folders on the path may be exchanged before the file is written; `beneath.reach`
        guards against it.

        Raises:
            Refusal: The name cannot be that of an image in the folder.
        """
        parts = name.split("/")
        try:
            for part in parts:
                check_file_name(part, "the image")
        except ValueError as error:
            raise Refusal(422, "bad_name", str(error)) from error
        if len(parts) > _DEEPEST or len(name.encode()) > _LONGEST_NAME:
            raise Refusal(422, "bad_name", f"the name {shown(name)} is too long")
        if Path(name).suffix.lower() not in SUFFIXES:
            raise Refusal(
                422,
                "bad_name",
                f"got the name {shown(name)}, expected one with the ending of an image: "
                + ", ".join(sorted(SUFFIXES)),
            )
        path = self.folder.joinpath(*parts)
        # A folder of the name may be a symbolic link.
        if path.parent.resolve() != path.parent:
            raise Refusal(
                422, "bad_name", f"the folder of {shown(name)} is a symbolic link"
            )
        return path

    def _current(self, path: Path) -> FolderImage | None:
        name = self._name(path)
        try:
            with beneath.reach(self.folder, name) as entry:
                status = entry.status()
        except OSError:
            # A folder on the path may have become a link since it was listed.
            return None
        return _described(self.folder, name, status)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def image_id(name: str) -> str:
    """Returns the id of an image from its name."""
    digest = hashlib.sha256(os.fsencode(name)).digest()[:15]
    return base64.urlsafe_b64encode(digest).decode()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Returns a sort key for natural order: img2 before img10."""
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
    return [*key, (2, 0, name)]


def find_files(folder: Path) -> Iterator[FolderImage]:
    """Yields the files below a folder that have the suffix of an image."""
    waiting = [("", 0)]
    while waiting:
        inside, depth = waiting.pop()
        try:
            with beneath.scan(folder, inside) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    name = f"{inside}/{entry.name}" if inside else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST:
                            waiting.append((name, depth + 1))
                    elif has_image_name(entry.name):
                        file = _entry_file(folder, name, entry)
                        if file is not None:
                            yield file
        except OSError:
            # A folder that was removed or cannot be read has no images.
            continue


def _entry_file(folder: Path, name: str, entry: os.DirEntry) -> FolderImage | None:
    try:
        return _described(folder, name, entry.stat(follow_symlinks=False))
    except OSError:
        return None


def _described(folder: Path, name: str, status: os.stat_result) -> FolderImage | None:
    """Returns a file by its status; None if not regular, or a link out of the folder."""
    try:
        if stat.S_ISLNK(status.st_mode):
            target = beneath.target_inside(folder, name)
            with beneath.reach(folder, target) as entry:
                status = entry.status()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FolderImage(
        id=image_id(name),
        name=os.fsencode(name).decode("utf-8", "replace"),
        path=folder / name,
        bytes=status.st_size,
        changed=status.st_mtime_ns,
        problem=_problem_of(name),
    )


def _missing(image_id: str) -> Refusal:
    return not_found("image", image_id, "GET /images lists all")


def _unreadable(error: OSError) -> str:
    return f"the file cannot be read: {(error.strerror or '').lower()}"


def _problem_of(name: str) -> str | None:
    try:
        for part in name.split("/"):
            check_file_name(part, "the image")
    except ValueError:
        return "its name has characters that other systems do not take: rename it"
    return None
