"""The database of annotations: its tables, its version, and how it is opened."""

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

from samjax.files import sync_folder

VERSION = 1
# Says whose database it is: "sjax" as a number.
APPLICATION = 0x736A6178

# An id is never given again, so that a reference to a mask stays one to that mask.
_TABLES = """
CREATE TABLE annotations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    counts TEXT NOT NULL,
    area INTEGER NOT NULL,
    bbox TEXT NOT NULL,
    label TEXT NOT NULL,
    prompts TEXT NOT NULL,
    score REAL,
    stability_score REAL,
    source TEXT NOT NULL,
    edited INTEGER NOT NULL,
    level TEXT,
    seconds REAL NOT NULL,
    author TEXT NOT NULL,
    place REAL,
    created TEXT NOT NULL,
    changed TEXT NOT NULL
);
CREATE INDEX annotations_of_image ON annotations (image, revision);
CREATE TABLE counter (revision INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Opens a connection whose commits outlast whatever happens to the process.

    A write-ahead log lets others read meanwhile; `synchronous=FULL` has every commit on
    the disk before it returns, so that a loss of power does not undo it either
    (`fullfsync`: also on systems where that needs to be said). No file is made.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    return connection


def log_of(path: Path, kind: str = "wal") -> Path:
    """Where SQLite keeps a database's log (`wal`), and the log's index (`shm`)."""
    return path.with_name(f"{path.name}-{kind}")


def prepare(path: Path) -> None:
    """Makes the tables, or sees that they are there and of this version.

    Raises:
        ValueError: The file is of a newer version, another program's, or what is left
            of a database.
        OSError: It cannot be opened or written.
    """
    try:
        if not _is_there(path):
            _make(path)
        connection = connect(path)
        try:
            _prepare(connection, path)
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise OSError(
            f"{path} cannot be used for annotations ({error}): see who may write there, "
            "or name another folder with --state"
        ) from error
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"{path} is no database of annotations, or is damaged ({error}): put a copy "
            f"of it there, without {log_of(path).name}, or put it elsewhere, or name "
            "another folder with --state"
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION and (version or tables):
        raise ValueError(
            f"{path} is a database of another program: name another folder with --state"
        )
    if version > VERSION:
        raise ValueError(
            f"{path} has version {version}, expected at most {VERSION}: a newer samjax "
            "wrote it; use that one, or name another folder with --state"
        )
    if (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(said)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        _make_tables(connection)
    connection.execute("COMMIT")


def _is_there(path: Path) -> bool:
    """Whether there is a database.

    Raises:
        ValueError: There was one, and something is left of it.
    """
    log = log_of(path)
    has_log = log.exists() and log.stat().st_size > 0
    if not path.exists():
        if has_log:
            raise ValueError(
                f"{path} is missing, and {log.name} is there, which holds the last of "
                f"its masks: put the database back, or remove {log.name} to begin anew"
            )
        return False
    if path.stat().st_size == 0:
        raise ValueError(
            f"{path} has 0 bytes, expected a database: one that was there was cut to "
            "nothing. Put a copy of it back, or remove the file to begin anew"
        )
    return True


def _make(path: Path) -> None:
    """Makes a database: whole under its name, or not at all."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        connection = sqlite3.connect(hidden, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            _make_tables(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
        # Another server may be faster: then its database is used.
        with contextlib.suppress(FileExistsError):
            try:
                os.link(hidden, path)
            except FileExistsError:
                raise
            except OSError:
                # This file system has no hard links.
                if not path.exists():
                    os.replace(hidden, path)
        # The names too outlast a loss of power.
        sync_folder(path.parent)
        sync_folder(path.parent.parent)
    finally:
        for left in (hidden, log_of(hidden, "journal")):
            left.unlink(missing_ok=True)


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
