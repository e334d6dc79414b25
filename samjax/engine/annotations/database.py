"""The connections to a database, and whether its files are still those that were opened.

SQLite goes on with a file that was removed or replaced, and with one that was written
by something else: what it commits then is gone after a restart. So before a commit is
acknowledged the names on the disk are compared with what was opened, and what nobody
here wrote is looked at anew. Only by `stat`: a process that opens and closes such a
file itself takes SQLite's locks away.
"""

import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from samjax.engine.annotations.schema import connect, log_of, prepare
from samjax.web.refusals import Refusal

_OLDER = "holds older masks than those that were stored last"


class _Seen(NamedTuple):
    """What the files were when all was right.

    Attributes:
        names: Device and inode of the database, and of its log and the log's index.
        content: Size and times of the database, which a checkpoint alone changes.
        log: Size of the log, which grows.
    """

    names: tuple[tuple[int, int] | None, ...]
    content: tuple[int, int, int]
    log: int


class Database:
    """A database of annotations, open for as long as the server runs.

    Safe to share between threads, and the file between processes.

    Args:
        path: The file; made if it is not there.

    Raises:
        ValueError: The file is not such a database, or of a newer version.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path):
        prepare(path)
        self._path, self._real = path, path.resolve()
        # Held while files are compared, and while a commit changes them.
        self._lock = threading.Lock()
        # Each is used by one thread at a time.
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        # By their `id`: those in use, and those of them that are not to be used again.
        self._in_use: set[int] = set()
        self._stale: set[int] = set()
        # One stays open: the last one to close takes the log away.
        self._keeper = connect(path)
        self._revision = _revision(self._keeper)
        self._seen = self._look()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one statement that reads.

        Raises:
            Refusal: The file is not there any more, or is another one.
        """
        with self._lock:
            self._check()
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = connect(self._path)
            self._in_use.add(id(connection))
        try:
            yield connection
        finally:
            with self._lock:
                self._in_use.discard(id(connection))
                if id(connection) in self._stale:
                    self._stale.discard(id(connection))
                    connection.close()
                else:
                    self._idle.put(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for several questions about one instant.

        Raises:
            Refusal: As for `connection`.
        """
        with self.connection() as connection, _transaction(connection, "BEGIN"):
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection to write by; it is on the disk, under its name, at the end.

        Raises:
            Refusal: As for `connection`; nothing that was written is to be relied on.
        """
        with (
            self.connection() as connection,
            _transaction(connection, "BEGIN IMMEDIATE"),
        ):
            yield connection
            revision = _revision(connection)
            with self._lock:
                self._check()
                if revision < self._revision:
                    raise self._refusal(_OLDER)
                # It may bring what is in the log into the file.
                connection.execute("COMMIT")
                self._check_names(seen := self._look())
                self._seen, self._revision = seen, revision

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._close_idle()
        self._keeper.close()

    def _look(self) -> _Seen:
        # A link to a database has its log beside the database.
        files = [self._path, log_of(self._real), log_of(self._real, "shm")]
        try:
            found = [_status(file) for file in files]
        except OSError as error:
            raise self._refusal(
                f"cannot be looked at ({(error.strerror or '').lower()})"
            ) from error
        database, log, _ = found
        return _Seen(
            tuple(one and (one.st_dev, one.st_ino) for one in found),
            _content(database) if database else (0, 0, 0),
            log.st_size if log else 0,
        )

    def _check(self) -> None:
        """Compares the files with what they were; looks into them if they changed."""
        found = self._look()
        self._check_names(found)
        if found.content == self._seen.content and found.log >= self._seen.log:
            return
        if not found.content[0]:
            raise self._refusal("was cut to nothing")
        self._verify()
        self._seen = found

    def _check_names(self, found: _Seen) -> None:
        for name, was, now in zip(
            ("", "-wal", "-shm"), self._seen.names, found.names, strict=True
        ):
            if was != now and was is not None:
                if now is None:
                    raise self._refusal("was removed", name)
                if not name:
                    self._settle()
                raise self._refusal("was replaced by another file", name)

    def _settle(self) -> None:
        """Brings the log into the file that it belongs to, which has another name now.

        Else the next server would take it for the log of the file that was put there.
        """
        with contextlib.suppress(sqlite3.Error):
            self._keeper.execute("PRAGMA busy_timeout = 0")
            self._keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _verify(self) -> None:
        """Reads what another process wrote: another server's masks, or anything else."""
        try:
            fresh = connect(self._path)
        except sqlite3.Error as error:
            raise self._refusal(f"cannot be opened ({error})") from error
        try:
            said = fresh.execute("PRAGMA integrity_check(1)").fetchone()[0]
            revision = _revision(fresh)
        except sqlite3.Error as error:
            said, revision = str(error), -1
        if said == "ok" and revision < self._revision:
            said = _OLDER
        if said != "ok":
            fresh.close()
            raise self._refusal(f"was written by something else ({said})")
        # The others may remember what the file was before.
        self._stale = set(self._in_use)
        self._close_idle()
        self._keeper.close()
        self._keeper, self._revision = fresh, revision

    def _close_idle(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _refusal(self, happened: str, name: str = "") -> Refusal:
        return Refusal(
            503,
            "storage",
            f"nothing is stored: {self._path}{name} {happened} while the server runs. "
            "Stop the server, see that the database in that folder is the right one, "
            "and start it again",
        )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Begins one, and undoes what of it was not committed."""
    connection.execute(begin)
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _revision(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT revision FROM counter").fetchone()[0]


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _content(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
