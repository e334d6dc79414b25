"""Schema of the annotation database: its tables, its version, and how it is opened."""

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

from samjax.files import sync_folder

VERSION = 1
# SQLite's application id: "sjax" as a number.
APPLICATION = 0x736A6178

# AUTOINCREMENT: an id is never reused, so that a reference to a mask stays valid.
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
    """Opens a connection whose commits survive a crash of the process or of the machine.

    The write-ahead log lets other connections read during a write. `synchronous=FULL`
    syncs every commit to the disk before it returns, so that a loss of power does not
    undo it (`fullfsync`: on macOS a plain fsync leaves data in the drive's cache). The
    file has to exist.
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
    """Returns the path of a database's write-ahead log (`wal`), or its index (`shm`)."""
    return path.with_name(f"{path.name}-{kind}")


def prepare(path: Path) -> None:
    """Creates the database, or checks that the file has these tables and this version.

    Raises:
        ValueError: The file has a newer version, belongs to another program, or is the
            remainder of a database.
        OSError: It cannot be opened or written.
    """
    try:
        if not _exists(path):
            _create(path)
        connection = connect(path)
        try:
            _prepare(connection, path)
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise OSError(
            f"{path} cannot be used for annotations ({error}): check its permissions, or "
            "use another folder (samjax serve --state)"
        ) from error
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"{path} is no database of annotations, or is damaged ({error}): put a copy "
            f"of it there, without {log_of(path).name}, or move it away, or use another "
            "folder (samjax serve --state)"
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION and (version or tables):
        raise ValueError(
            f"{path} is a database of another program: use another folder (samjax serve "
            "--state)"
        )
    if version > VERSION:
        raise ValueError(
            f"{path} has version {version}, expected at most {VERSION}: a newer samjax "
            "wrote it; use that one, or another folder (samjax serve --state)"
        )
    if (result := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(result)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    # Read again: another process may have created the tables before the transaction.
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        _create_tables(connection)
    connection.execute("COMMIT")


def _exists(path: Path) -> bool:
    """Returns whether there is a database.

    Raises:
        ValueError: There was one, and only a part of it is left.
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


def _create(path: Path) -> None:
    """Creates a database; the file appears complete or not at all."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        connection = sqlite3.connect(hidden, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            _create_tables(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
        # A link fails where the name exists: the database of a faster server is kept.
        with contextlib.suppress(FileExistsError):
            try:
                os.link(hidden, path)
            except FileExistsError:
                raise
            except OSError:
                # This file system has no hard links.
                if not path.exists():
                    os.replace(hidden, path)
        # A loss of power must not undo the new names either.
        sync_folder(path.parent)
        sync_folder(path.parent.parent)
    finally:
        for left in (hidden, log_of(hidden, "journal")):
            left.unlink(missing_ok=True)


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
