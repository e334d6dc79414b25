"""A cache of files of bounded total size, evicted least recently used first."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

from samjax.files import replacing


class DiskCache:
    """A folder of files by key, of bounded total size.

    Files are complete or absent. Threads may share it, and so may processes: any file
    may be gone at any time. Only `put` raises where the disk is full or the folder is
    not writable; in all other methods such a failure is a missing file.

    Args:
        folder: The folder; created by the first `put`.
        most_bytes: Bound of the total size; the newest file stays even if it is larger.
    """

    def __init__(self, folder: Path, most_bytes: int):
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        """Returns the path that the file of a key has, if it exists."""
        return self._folder / key

    def has(self, key: str) -> bool:
        """Whether the file exists; does not count as a use."""
        return self.path(key).is_file()

    def use(self, key: str) -> Path | None:
        """Returns the path of a key's file and marks it as used; None if it is missing."""
        path = self.path(key)
        try:
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            # Another user's file cannot be marked, but can be read.
            pass
        return path

    def open(self, key: str) -> BufferedReader | None:
        """Opens the file of a key and marks it as used; None if it is missing.

        The open file can be read to its end even if it is evicted meanwhile.
        """
        path = self.use(key)
        try:
            return None if path is None else path.open("rb")
        except OSError:
            return None

    def put(self, key: str, write: Callable[[Path], object]) -> Path:
        """Stores the file that `write` writes to the path it is called with.

        Raises:
            OSError: The disk is full, or the folder is not writable.
        """
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as hidden:
            write(hidden)
        self._make_room(path)
        return path

    def drop(self, key: str) -> bool:
        """Removes a damaged file; returns whether it is gone."""
        with contextlib.suppress(OSError):
            self.path(key).unlink(missing_ok=True)
        return not self.has(key)

    def _make_room(self, newest: Path) -> None:
        with self._lock:
            files = []
            for path in self._folder.rglob("*"):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode) and not path.name.startswith("."):
                        files.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if total <= self._most_bytes:
                    break
                if path != newest:
                    with contextlib.suppress(OSError):
                        path.unlink()
                        total -= size
