"""How the file of the annotation database is opened, created and migrated."""

import os
import secrets
import sqlite3
from pathlib import Path

from samjax.engine.annotations.tables import MIGRATIONS, VERSION
from samjax.files import sync_folder

# SQLite's application id: "sjax" as a number.
APPLICATION = 0x736A6178


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
    """Creates the database, or migrates one of an older version.

    A copy of the older database is kept beside it, `annotations.version-1.sqlite3`.

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
    # Read again: another process may have made the tables before the transaction.
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if 0 < version < VERSION:
        _back_up(path, version)
    _migrate(connection, version)
    connection.execute("COMMIT")


def _back_up(path: Path, version: int) -> None:
    """Copies the database to a new file beside it, while the caller blocks writes."""
    hidden = _hidden(path)
    try:
        reader = connect(path)
        try:
            # As the log is part of the database, the file alone would be no copy.
            reader.execute("VACUUM INTO ?", (str(hidden),))
        finally:
            reader.close()
        with open(hidden, "rb+") as file:
            os.fsync(file.fileno())
        number = 1
        while not _place(hidden, _backup_name(path, version, number)):
            number += 1
    finally:
        hidden.unlink(missing_ok=True)


def _backup_name(path: Path, version: int, number: int) -> Path:
    again = "" if number == 1 else f".{number}"
    return path.with_name(f"{path.stem}.version-{version}{again}{path.suffix}")


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
    hidden = _hidden(path)
    try:
        connection = sqlite3.connect(hidden, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            _migrate(connection, 0)
            connection.execute("COMMIT")
        finally:
            connection.close()
        # Where the name exists, the database of a faster server is kept.
        _place(hidden, path)
        sync_folder(path.parent.parent)
    finally:
        for left in (hidden, log_of(hidden, "journal")):
            left.unlink(missing_ok=True)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _place(hidden: Path, path: Path) -> bool:
    """Gives a file its name for good; returns False where the name exists."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        return False
    except OSError:
        # This file system has no hard links.
        if path.exists():
            return False
        os.replace(hidden, path)
    # A loss of power must not undo the new name either.
    sync_folder(path.parent)
    return True


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Brings the tables from a version, 0 for none, to the present one."""
    if version == VERSION:
        return
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
