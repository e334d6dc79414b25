"""Files that can be made again, kept within a bound: the least recently used go."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

from samjax.files import replacing


class DiskCache:
    """A folder of files by key, of a bounded size.

    What is there is whole. Safe to share between threads, and between processes in that
    a file may always turn out to be gone. Only `put` fails where the disk is full, or
    the folder takes no files: whatever else goes wrong there, a file is not there.

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
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            # Somebody else's file can still be read.
            pass
        return path

    def open(self, key: str) -> BufferedReader | None:
        """Opens the file of a key, which is now the most recently used one.

        Whoever has it open can read it to its end, though it may go meanwhile.
        """
        path = self.use(key)
        try:
            return None if path is None else path.open("rb")
        except OSError:
            return None

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

    def drop(self, key: str) -> bool:
        """Removes a file, which turned out to be damaged; says whether it is gone."""
        with contextlib.suppress(OSError):
            self.path(key).unlink(missing_ok=True)
        return not self.has(key)

    def _make_room(self, newest: Path) -> None:
        with self._lock:
            found = []
            for path in self._folder.rglob("*"):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode) and not path.name.startswith("."):
                        found.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in found)
            for _, size, path in sorted(found):
                if total <= self._most_bytes:
                    break
                if path != newest:
                    with contextlib.suppress(OSError):
                        path.unlink()
                        total -= size
