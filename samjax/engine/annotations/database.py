"""Connections to the annotation database, with checks that its files were not exchanged.

SQLite keeps writing to a file that was removed, replaced or overwritten by another
program; such commits are lost after a restart. Therefore the files on the disk are
compared with those that were opened before a commit is acknowledged, and a file that
another process wrote is verified. The comparison uses `stat` alone: if this process
opened and closed the file itself, POSIX would release SQLite's locks on it.
"""

import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from samjax.engine.annotations.errors import DatabaseReplaced
from samjax.engine.annotations.schema import connect, log_of, prepare

_OLDER = "holds older masks than those that were stored last"


class _FileState(NamedTuple):
    """Identity and size of the database's files at the last check.

    Attributes:
        names: Device and inode of the database, and of its log and the log's index.
        content: Size and times of the database, which only a checkpoint changes.
        log: Size of the write-ahead log, which grows.
    """

    names: tuple[tuple[int, int] | None, ...]
    content: tuple[int, int, int]
    log: int


class Database:
    """An annotation database that stays open for the life of a process.

    Threads may share it, and processes may share the file.

    Args:
        path: The file; created if missing.

    Raises:
        ValueError: The file is not such a database, or has a newer version.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path):
        prepare(path)
        self._path, self._real = path, path.resolve()
        # Held while the files are compared, and while a commit changes them.
        self._lock = threading.Lock()
        # Each connection is used by one thread at a time.
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        # Connections by `id()`: those in use, and those to be closed after their use.
        self._in_use: set[int] = set()
        self._stale: set[int] = set()
        # One stays open: SQLite removes the log when the last connection closes.
        self._keeper = connect(path)
        self._revision = _revision(self._keeper)
        self._seen = self._look()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection for a single reading statement.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
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
        """Yields a connection for several reads from one snapshot.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self.connection() as connection, _transaction(connection, "BEGIN"):
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection for a transaction, committed to the named file at the end.

        Raises:
            DatabaseReplaced: The file is not the one that was opened; the transaction
                must be taken as lost.
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
                    raise self._replaced(_OLDER)
                # Under the lock, since a commit may run a checkpoint, which changes the
                # file.
                connection.execute("COMMIT")
                self._check_names(seen := self._look())
                self._seen, self._revision = seen, revision

    @contextlib.contextmanager
    def erasing(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection for a transaction whose deleted bytes are overwritten.

        Afterwards the write-ahead log, which has earlier pages, is cut to nothing, unless
        another process reads at that time.

        Raises:
            DatabaseReplaced: The file is not the one that was opened; the transaction
                must be taken as lost.
        """
        with self.writing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            yield connection
        with self._lock:
            self._check()
            self._keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._seen = self._look()

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._close_idle()
        self._keeper.close()

    def _look(self) -> _FileState:
        # SQLite keeps the log beside the target of a symbolic link.
        files = [self._path, log_of(self._real), log_of(self._real, "shm")]
        try:
            statuses = [_status(file) for file in files]
        except OSError as error:
            raise self._replaced(
                f"cannot be looked at ({(error.strerror or '').lower()})"
            ) from error
        database, log, _ = statuses
        return _FileState(
            tuple(status and (status.st_dev, status.st_ino) for status in statuses),
            _content(database) if database else (0, 0, 0),
            log.st_size if log else 0,
        )

    def _check(self) -> None:
        """Compares the files with the last check; verifies the content if it changed."""
        state = self._look()
        self._check_names(state)
        if state.content == self._seen.content and state.log >= self._seen.log:
            return
        if not state.content[0]:
            raise self._replaced("was truncated to 0 bytes")
        self._verify()
        self._seen = state

    def _check_names(self, state: _FileState) -> None:
        for name, was, now in zip(
            ("", "-wal", "-shm"), self._seen.names, state.names, strict=True
        ):
            if was != now and was is not None:
                if now is None:
                    raise self._replaced("was removed", name)
                if not name:
                    self._settle()
                raise self._replaced("was replaced by another file", name)

    def _settle(self) -> None:
        """Checkpoints the log into the database it belongs to, which was renamed.

        Otherwise the next process would apply it to the file that took the name.
        """
        with contextlib.suppress(sqlite3.Error):
            self._keeper.execute("PRAGMA busy_timeout = 0")
            self._keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _verify(self) -> None:
        """Checks the content after another process wrote it: a server, or any program."""
        try:
            fresh = connect(self._path)
        except sqlite3.Error as error:
            raise self._replaced(f"cannot be opened ({error})") from error
        try:
            result = fresh.execute("PRAGMA integrity_check(1)").fetchone()[0]
            revision = _revision(fresh)
        except sqlite3.Error as error:
            result, revision = str(error), -1
        if result == "ok" and revision < self._revision:
            result = _OLDER
        if result != "ok":
            fresh.close()
            raise self._replaced(f"was written by something else ({result})")
        # Other connections may have cached pages of the old content.
        self._stale = set(self._in_use)
        self._close_idle()
        self._keeper.close()
        self._keeper, self._revision = fresh, revision

    def _close_idle(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _replaced(self, happened: str, name: str = "") -> DatabaseReplaced:
        return DatabaseReplaced(
            f"nothing is stored: {self._path}{name} {happened} while it is in use. Stop "
            "this process, check that the database in that folder is the right one, and "
            "start it again"
        )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Begins a transaction, and rolls it back unless it was committed."""
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
