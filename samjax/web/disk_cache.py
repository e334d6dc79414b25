"""Files that can be made again, kept within a bound: the least recently used go."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from samjax.files import replacing


class DiskCache:
    """A folder of files by key, of a bounded size.

    What is there is whole. Safe to share between threads, and between processes in that
    a file may always turn out to be gone.

    Args:
        folder: Made when something is put in.
        most_bytes: Of all files together; the newest one stays even if it is larger.
    """

    def __init__(self, folder: Path, most_bytes: int):
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        """Where the file of a key is, if it is."""
        return self._folder / key

    def has(self, key: str) -> bool:
        """Whether there is a file, which does not count as using it."""
        return self.path(key).is_file()

    def use(self, key: str) -> Path | None:
        """The file of a key, which is now the most recently used one."""
        path = self.path(key)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError:
            # Somebody else's file can still be read.
            pass
        return path

    def put(self, key: str, write: Callable[[Path], object]) -> Path:
        """Keeps what `write` writes to the path that it is given.

        Raises:
            OSError: There is no room, or no permission.
        """
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as hidden:
            write(hidden)
        self._make_room(path)
        return path

    def drop(self, key: str) -> None:
        """Removes a file, which turned out to be damaged."""
        self.path(key).unlink(missing_ok=True)

    def _make_room(self, newest: Path) -> None:
        with self._lock:
            found = []
            for path in self._folder.rglob("*"):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if path.is_file() and not path.name.startswith("."):
                    found.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in found)
            for _, size, path in sorted(found):
                if total <= self._most_bytes:
                    break
                if path != newest:
                    path.unlink(missing_ok=True)
                    total -= size
