"""The images of a folder: which there are, by names and ids that lead nowhere else.

An id is a hash of a name, and is looked up among the files that were found: nothing
that a request says ever becomes part of a path, but for the names of uploads, which
`path_for` checks. Hidden files and folders are passed over, and with them `.samjax`. Of
symbolic links those to files inside the folder count; links to folders are not
followed. A file is read from what `Gallery.open` gives, never by its path: by then
something else may stand there.
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
from samjax.web import beneath
from samjax.web.image_files import Header, NotAPicture, read_header
from samjax.web.refusals import Refusal, not_found, shown

# Folders are looked through again when they were longer ago than this, in seconds.
FRESH = 2.0
_DEEPEST = 16
_LONGEST_NAME = 1000
# What is said of a file that is not there, or is a link or a pipe by now.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO)


class ImageFile(NamedTuple):
    """A file that is to be an image.

    Attributes:
        id: Made of its name, safe in addresses.
        name: Its path in the folder, with `/`.
        path: Where it is; to read it, use `Gallery.open`.
        bytes: How large it is.
        changed: When it was written, in nanoseconds.
        problem: Why it cannot be used, as far as its name says.
    """

    id: str
    name: str
    path: Path
    bytes: int
    changed: int
    problem: str | None

    @property
    def version(self) -> str:
        """Names the file's content, as far as place, size and time of writing do."""
        facts = f"{os.fspath(self.path)}\0{self.bytes}\0{self.changed}"
        return hashlib.sha256(os.fsencode(facts)).hexdigest()[:32]


class Gallery:
    """The images of a folder, found again when they may have changed.

    Safe to share between threads. Of every image that was asked for the header is kept,
    until its file changes, so that a folder of many thousands lists at once.

    Args:
        folder: That is looked through.
        most_pixels: Of an image that can be used.
        clock: Seconds, of any origin.
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
        self._files: dict[str, ImageFile] = {}
        self._looked: float | None = None
        self._headers: dict[str, tuple[str, Header | str]] = {}

    def files(self) -> list[ImageFile]:
        """All of them, in natural order of their names."""
        with self._lock:
            if self._looked is None or self._clock() - self._looked > FRESH:
                found = list(find_files(self.folder))
                found.sort(key=lambda file: natural_key(file.name))
                self._files = {file.id: file for file in found}
                self._headers = {
                    key: kept
                    for key, kept in self._headers.items()
                    if key in self._files
                }
                self._looked = self._clock()
            return list(self._files.values())

    def file(self, image_id: str) -> ImageFile:
        """Finds a file by its id, as it is now.

        Raises:
            Refusal: There is none.
        """
        with self._lock:
            known = self._files.get(image_id)
        if known is None:
            self.files()
            known = self._files.get(image_id)
        now = known and self._now(known.path)
        if now is None:
            raise _missing(image_id)
        return now

    def open(self, file: ImageFile) -> BufferedReader:
        """Opens a file for reading, if it is what it was when it was found.

        Links that were put on the way meanwhile are not followed out of the folder,
        and `file.version` names what is read: another content is never taken for it.

        Raises:
            Refusal: It is not there any more, is another by now, or cannot be read.
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
                503, "storage", f"{file.name}: {_unreadable(error)}; ask again"
            ) from error
        status = os.fstat(stream.fileno())
        if (status.st_size, status.st_mtime_ns) != (file.bytes, file.changed):
            stream.close()
            raise Refusal(
                409,
                "changed_meanwhile",
                f"{file.name} was changed while it was asked for: ask again",
            )
        return stream

    def header(self, file: ImageFile) -> Header | str:
        """What a file is; or, if it cannot be used, why."""
        if file.problem is not None:
            return file.problem
        version, kept = self._headers.get(file.id, (None, None))
        if kept is not None and version == file.version:
            return kept
        try:
            with self.open(file) as stream:
                found = read_header(stream, self._most_pixels)
        except Refusal as refusal:
            # Not noted: a moment later it may be right.
            return refusal.message
        except NotAPicture as error:
            found = str(error)
        except OSError as error:
            found = _unreadable(error)
        with self._lock:
            self._headers[file.id] = (file.version, found)
        return found

    def usable(self, image_id: str) -> tuple[ImageFile, Header]:
        """Finds an image that can be used.

        Raises:
            Refusal: There is none, or it has a problem.
        """
        file = self.file(image_id)
        header = self.header(file)
        if isinstance(header, str):
            raise Refusal(422, "unusable_image", f"{file.name}: {header}")
        return file, header

    def forget(self) -> None:
        """Looks again when next asked: something was added."""
        with self._lock:
            self._looked = None

    def path_for(self, name: str) -> Path:
        """Where a new image of this name belongs.

        What is on the way there may be another by the time that it is written: it is
        put in place by `beneath.reach`.

        Raises:
            Refusal: The name is not one of an image in the folder.
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
        # A link may stand where the name has a folder.
        if path.parent.resolve() != path.parent:
            raise Refusal(
                422, "bad_name", f"the folder of {shown(name)} is a symbolic link"
            )
        return path

    def _now(self, path: Path) -> ImageFile | None:
        name = self._name(path)
        try:
            with beneath.reach(self.folder, name) as place:
                status = place.status()
        except OSError:
            # A folder on the way may have become a link since it was looked through.
            return None
        return _described(self.folder, name, status)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def image_id(name: str) -> str:
    """The id of the image of a name."""
    digest = hashlib.sha256(os.fsencode(name)).digest()[:15]
    return base64.urlsafe_b64encode(digest).decode()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts names as people do: img2 before img10."""
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
    return [*key, (2, 0, name)]


def find_files(folder: Path) -> Iterator[ImageFile]:
    """Finds the files of a folder and its folders that have an image's ending."""
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
                        file = _found(folder, name, entry)
                        if file is not None:
                            yield file
        except OSError:
            # A folder that went away, or that is not for us, has no images.
            continue


def _found(folder: Path, name: str, entry: os.DirEntry) -> ImageFile | None:
    try:
        return _described(folder, name, entry.stat(follow_symlinks=False))
    except OSError:
        return None


def _described(folder: Path, name: str, status: os.stat_result) -> ImageFile | None:
    """A file by its status now; None if it is none, or is a link that leads out."""
    try:
        if stat.S_ISLNK(status.st_mode):
            target = beneath.target_inside(folder, name)
            with beneath.reach(folder, target) as place:
                status = place.status()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return ImageFile(
        id=image_id(name),
        name=os.fsencode(name).decode("utf-8", "replace"),
        path=folder / name,
        bytes=status.st_size,
        changed=status.st_mtime_ns,
        problem=_problem_of(name),
    )


def _missing(image_id: str) -> Refusal:
    return not_found("image", image_id, "GET /images lists those there are")


def _unreadable(error: OSError) -> str:
    return f"the file cannot be read: {(error.strerror or '').lower()}"


def _problem_of(name: str) -> str | None:
    try:
        for part in name.split("/"):
            check_file_name(part, "the image")
    except ValueError:
        return "its name has characters that other systems do not take: rename it"
    return None
