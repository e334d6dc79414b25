"""Images that are sent: whole, checked and in place, or nothing of them is left."""

import contextlib
import errno
import hashlib
import os
import secrets
import threading
from collections.abc import AsyncIterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool

from samjax.web import beneath
from samjax.web.folder import Gallery
from samjax.web.image_files import NotAPicture, check_whole
from samjax.web.refusals import Refusal, busy

try:
    import fcntl
except ImportError:
    # On Windows nobody removes a file that is open.
    fcntl = None

# Hidden, so that no image that is still on its way is listed.
_PREFIX, _SUFFIX = ".samjax-upload-", ".tmp"
_CHUNK = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
# What file systems say that have no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Uploads:
    """Takes images into a gallery's folder.

    Args:
        gallery: Which is told of them.
        most_pixels: Of an image.
        decoding: Is held while an image is decoded, which bounds memory.
    """

    def __init__(
        self, gallery: Gallery, most_pixels: int, decoding: threading.Semaphore
    ):
        self._gallery = gallery
        self._most_pixels = most_pixels
        self._decoding = decoding

    async def take(self, name: str, chunks: AsyncIterator[bytes]) -> bool:
        """Stores an image under a name. It is on the disk when this returns.

        Args:
            name: Its path in the folder.
            chunks: Its bytes; whoever makes them bounds their number.

        Returns:
            Whether it is new, and not there already with the same content.

        Raises:
            Refusal: The name is not possible or has another image, the bytes are not an
                image, or the folder takes no files.
        """
        self._gallery.path_for(name)
        folder = self._gallery.folder
        try:
            hidden, file = await run_in_threadpool(_hidden_file, folder)
            try:
                await _write(file, chunks)
                return await run_in_threadpool(self._place, hidden, file, name)
            finally:
                file.close()
                # Where nothing can be written, there is nothing to remove either.
                with contextlib.suppress(OSError):
                    os.unlink(folder / hidden)
        except OSError as error:
            raise _not_stored(name, error) from error

    def _place(self, hidden: str, file: BinaryIO, name: str) -> bool:
        file.seek(0)
        try:
            with self._decoding:
                check_whole(file, self._most_pixels)
        except NotAPicture as error:
            raise Refusal(422, "not_an_image", f"{name}: {error}") from error
        if fcntl is None:
            # Nor can it be renamed while it is open.
            file.close()
        folder = self._gallery.folder
        with (
            beneath.reach(folder, hidden) as source,
            beneath.reach(folder, name, make=True) as target,
        ):
            try:
                _name_it(source, target)
            except FileExistsError:
                if _are_same(folder, name, hidden):
                    return False
                raise Refusal(
                    409,
                    "exists",
                    f"there is another image {name}: send it under another name",
                ) from None
            _sync(target.folder)
        self._gallery.forget()
        return True


def sweep(folder: Path) -> None:
    """Removes what servers that were killed left of uploads that were on their way.

    Uploads to another server, which is at work on the same folder, stay.
    """
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        # A folder that takes no changes keeps them; it is no reason not to serve it.
        with (
            contextlib.suppress(OSError),
            beneath.open_below(folder, path.name) as file,
        ):
            if _take_hold(file):
                path.unlink()


def _hidden_file(folder: Path) -> tuple[str, BinaryIO]:
    """Makes a file under a name that is not listed, and holds it."""
    while True:
        hidden = f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        file = open(folder / hidden, "x+b")  # noqa: SIM115
        if _take_hold(file):
            return hidden, file
        # A server that starts at this very moment takes it for one that was left.
        file.close()


def _take_hold(file: BinaryIO) -> bool:
    """Locks a file against all other processes, for as long as it is open.

    Returns:
        Whether nobody else has it. True too where the system cannot tell.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # This file system has no locks.
        pass
    return True


def _name_it(source: beneath.Place, target: beneath.Place) -> None:
    """Gives a file its name, unless there is a file of this name.

    Raises:
        FileExistsError: There is, be it since a moment ago and from another server.
        OSError: It cannot be done.
    """
    try:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.folder,
            dst_dir_fd=target.folder,
            follow_symlinks=False,
        )
        return
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
    # Without hard links the name is taken first, by a file of nothing.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    os.close(os.open(target.name, flags, 0o666, dir_fd=target.folder))
    os.replace(
        source.name,
        target.name,
        src_dir_fd=source.folder,
        dst_dir_fd=target.folder,
    )


def _are_same(folder: Path, name: str, other: str) -> bool:
    """Whether two files of a folder have the same content."""
    try:
        with (
            beneath.open_inside(folder, name) as one,
            beneath.open_below(folder, other) as two,
        ):
            return _digest(one) == _digest(two)
    except OSError:
        return False


def _digest(file: BufferedReader) -> bytes:
    return hashlib.file_digest(file, "sha256").digest()


def _sync(folder: int | None) -> None:
    """Has a new name in a folder outlast a loss of power, where that can be asked for."""
    if folder is not None:
        with contextlib.suppress(OSError):
            os.fsync(folder)


async def _write(file: BinaryIO, chunks: AsyncIterator[bytes]) -> None:
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _CHUNK:
            await run_in_threadpool(file.write, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(_finish, file, bytes(waiting))


def _finish(file: BinaryIO, rest: bytes) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())


def _not_stored(name: str, error: OSError) -> Refusal:
    said = f"{name} cannot be stored: {(error.strerror or str(error)).lower()}"
    if error.errno in _NO_ROOM:
        return Refusal(507, "not_writable", f"{said}: make room on the server's disk")
    if error.errno in _TOO_MANY_FILES:
        return busy(f"{said}: send it again later")
    if error.errno == errno.ENAMETOOLONG:
        return Refusal(422, "bad_name", f"{said}: send it under a shorter name")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return Refusal(
            422, "bad_name", f"{said}: what is to be its folder is a file, or a link"
        )
    return Refusal(
        403, "not_writable", f"{said}: let the server write to its folder of images"
    )
