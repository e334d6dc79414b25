"""The database of annotations: its tables, its version, and how it is opened."""

import sqlite3
from pathlib import Path

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
    the disk before it returns, so that a loss of power does not undo it either.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def prepare(path: Path) -> None:
    """Makes the tables, or sees that they are there and of this version.

    Raises:
        ValueError: The file is of a newer version, or another program's.
        OSError: It cannot be opened or written.
    """
    try:
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
            f"{path} is no database of annotations, or is damaged ({error}): put it "
            "elsewhere, or name another folder with --state"
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
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    # Another server may have been faster.
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
