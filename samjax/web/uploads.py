"""Uploads of images: stored complete and verified, or not at all."""

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
from samjax.web.image_files import NotAnImage, check_whole
from samjax.web.refusals import Refusal, busy

try:
    import fcntl
except ImportError:
    # Windows does not let others remove an open file.
    fcntl = None

# Hidden names, which listings skip, for incomplete uploads.
_PREFIX, _SUFFIX = ".samjax-upload-", ".tmp"
_CHUNK = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
# Errors of `link` on file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Uploads:
    """Stores uploaded images in a gallery's folder.

    Args:
        gallery: The gallery.
        most_pixels: Bound of the pixels of an image.
        decoding: Acquired while an image is decoded: one at a time, for memory.
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
            name: Path in the folder.
            chunks: Content of the file; its size is bounded by `guard`.

        Returns:
            True if the image is new; False if the same content has the name already.

        Raises:
            Refusal: The name is invalid or taken by another image, the content is not
                an image, or the folder is not writable.
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
                # It may be renamed by now, or the folder be read-only.
                with contextlib.suppress(OSError):
                    os.unlink(folder / hidden)
        except OSError as error:
            raise _not_stored(name, error) from error

    def _place(self, hidden: str, file: BinaryIO, name: str) -> bool:
        file.seek(0)
        try:
            with self._decoding:
                check_whole(file, self._most_pixels)
        except NotAnImage as error:
            raise Refusal(422, "not_an_image", f"{name}: {error}") from error
        if fcntl is None:
            # Windows cannot rename an open file either.
            file.close()
        folder = self._gallery.folder
        with (
            beneath.reach(folder, hidden) as source,
            beneath.reach(folder, name, make=True) as target,
        ):
            try:
                _rename_new(source, target)
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
    """Removes incomplete uploads of servers that were killed.

    Uploads to another running server on the same folder are locked, and stay.
    """
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        # In a read-only folder they stay; it can be served all the same.
        with (
            contextlib.suppress(OSError),
            beneath.open_below(folder, path.name) as file,
        ):
            if _lock_file(file):
                path.unlink()


def _hidden_file(folder: Path) -> tuple[str, BinaryIO]:
    """Creates and locks a file under a hidden name."""
    while True:
        hidden = f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        file = open(folder / hidden, "x+b")  # noqa: SIM115
        if _lock_file(file):
            return hidden, file
        # A server that is just starting removes it as a remainder: try another name.
        file.close()


def _lock_file(file: BinaryIO) -> bool:
    """Locks a file against other processes for as long as it is open.

    Returns:
        Whether no other process has it locked; True also on systems without locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks.
        pass
    return True


def _rename_new(source: beneath.Entry, target: beneath.Entry) -> None:
    """Renames a file, unless the new name exists.

    Raises:
        FileExistsError: The name exists; another server may have just created it.
        OSError: The file cannot be renamed.
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
    # Without hard links an empty file reserves the name, which a rename replaces.
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
            beneath.open_inside(folder, name) as file,
            beneath.open_below(folder, other) as other_file,
        ):
            return _digest(file) == _digest(other_file)
    except OSError:
        return False


def _digest(file: BufferedReader) -> bytes:
    return hashlib.file_digest(file, "sha256").digest()


def _sync(folder: int | None) -> None:
    """Syncs a folder, so that a loss of power does not undo a new name in it."""
    if folder is not None:
        with contextlib.suppress(OSError):
            os.fsync(folder)


async def _write(file: BinaryIO, chunks: AsyncIterator[bytes]) -> None:
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        # In a thread, since a slow disk would block the event loop.
        if len(buffer) >= _CHUNK:
            await run_in_threadpool(file.write, bytes(buffer))
            buffer.clear()
    await run_in_threadpool(_finish, file, bytes(buffer))


def _finish(file: BinaryIO, rest: bytes) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())


def _not_stored(name: str, error: OSError) -> Refusal:
    problem = f"{name} cannot be stored: {(error.strerror or str(error)).lower()}"
    if error.errno in _NO_ROOM:
        return Refusal(
            507, "not_writable", f"{problem}: make room on the server's disk"
        )
    if error.errno in _TOO_MANY_FILES:
        return busy(f"{problem}: send it again later")
    if error.errno == errno.ENAMETOOLONG:
        return Refusal(422, "bad_name", f"{problem}: send it under a shorter name")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return Refusal(422, "bad_name", f"{problem}: its folder is a file, or a link")
    return Refusal(
        403, "not_writable", f"{problem}: let the server write to its folder of images"
    )
