"""Images that are sent: whole, checked and in place, or nothing of them is left."""

import hashlib
import os
import secrets
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from samjax.web.folder import Gallery
from samjax.web.pictures import NotAPicture, check_whole
from samjax.web.refusals import Refusal

# Hidden, so that no image that is still on its way is listed.
_PREFIX, _SUFFIX = ".samjax-upload-", ".tmp"
_CHUNK = 1 << 20


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
        self._placing = threading.Lock()

    async def take(self, name: str, chunks: AsyncIterator[bytes]) -> bool:
        """Stores an image under a name.

        Args:
            name: Its path in the folder.
            chunks: Its bytes; whoever makes them bounds their number.

        Returns:
            Whether it is new, and not there already with the same content.

        Raises:
            Refusal: The name is not possible or has another image, the bytes are not an
                image, or the folder takes no files.
        """
        path = self._gallery.path_for(name)
        hidden = self._gallery.folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        try:
            await _write(hidden, chunks)
            return await run_in_threadpool(self._place, hidden, path, name)
        except OSError as error:
            raise Refusal(
                507 if error.errno == 28 else 403,
                "not_writable",
                f"{name} cannot be stored: {(error.strerror or '').lower()}",
            ) from error
        finally:
            hidden.unlink(missing_ok=True)

    def _place(self, hidden: Path, path: Path, name: str) -> bool:
        try:
            with self._decoding:
                check_whole(hidden, self._most_pixels)
        except NotAPicture as error:
            raise Refusal(422, "not_an_image", f"{name}: {error}") from error
        with self._placing:
            if os.path.lexists(path):
                if path.is_file() and _digest(path) == _digest(hidden):
                    return False
                raise Refusal(
                    409,
                    "exists",
                    f"there is another image {name}: send it under another name",
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(hidden, path)
        self._gallery.forget()
        return True


def sweep(folder: Path) -> None:
    """Removes what a server that was killed left of uploads that were on their way."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        path.unlink(missing_ok=True)


async def _write(path: Path, chunks: AsyncIterator[bytes]) -> None:
    waiting: list[bytes] = []
    with await run_in_threadpool(open, path, "xb") as file:
        async for chunk in chunks:
            waiting.append(chunk)
            if sum(map(len, waiting)) >= _CHUNK:
                await run_in_threadpool(file.write, b"".join(waiting))
                waiting = []
        file.write(b"".join(waiting))
        await run_in_threadpool(_flush, file)


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
