"""Changes to the database files under a running server."""

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from engine.annotations.store_test import add, fields, mask

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.errors import DatabaseReplaced
from samjax.engine.annotations.schema import log_of

BEFORE = 20


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / "annotations.sqlite3"


@pytest.fixture
def store(path):
    """A store of some masks, and beside it `backup`, in which the last ones are missing."""
    path.parent.mkdir()
    first = AnnotationStore(path)
    for number in range(BEFORE):
        add(first, f"uuid-{number:04d}")
    first.close()
    shutil.copyfile(path, path.with_name("backup"))
    made = AnnotationStore(path)
    for number in range(BEFORE):
        # More than fits into the pages that were there: a log over a backup is damage.
        add(made, f"more-{number:04d}", label="x" * 100)
    by_another(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    add(made, "in-the-log")
    yield made
    made.close()


def by_another(path: Path, *statements: str) -> None:
    """Does what somebody does with SQLite's own command."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def second_server(path: Path) -> None:
    other = AnnotationStore(path)
    for number in range(3):
        add(other, f"other-{number}")
    by_another(path, "PRAGMA wal_checkpoint(PASSIVE)")
    other.close()


def move_and_move_back(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.with_name("elsewhere").rename(path)


HARMLESS = {
    "nothing": lambda path: None,
    "touched": os.utime,
    "its rights were changed": lambda path: path.chmod(0o600),
    "moved and moved back": move_and_move_back,
    "another server wrote": second_server,
    "somebody looked": lambda path: by_another(path, "SELECT * FROM annotations"),
    "a checkpoint": lambda path: by_another(path, "PRAGMA wal_checkpoint(TRUNCATE)"),
    "compacted": lambda path: by_another(
        path, "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"
    ),
    "another file beside": lambda path: path.with_name("x").write_text("x"),
}
HARM = {
    "removed": lambda path: path.unlink(),
    "all of the folder removed": lambda path: shutil.rmtree(path.parent),
    "moved away": lambda path: path.rename(path.with_name("elsewhere")),
    "replaced by a copy": lambda path: path.with_name("backup").replace(path),
    "replaced by a link": lambda path: (
        path.unlink(),
        path.symlink_to(path.with_name("backup")),
    ),
    "a copy written over it": lambda path: shutil.copyfile(
        path.with_name("backup"), path
    ),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "written over with nonsense": lambda path: path.write_bytes(b"no database" * 4000),
    "its log removed": lambda path: log_of(path).unlink(),
    "its log cut to nothing": lambda path: os.truncate(log_of(path), 0),
    "its log replaced": lambda path: (
        shutil.copyfile(log_of(path), path.with_name("x")),
        path.with_name("x").replace(log_of(path)),
    ),
}


@pytest.mark.parametrize("happened", HARMLESS)
def test_masks_go_on_being_stored_where_nothing_was_lost(store, path, happened):
    HARMLESS[happened](path)
    add(store, "afterwards")
    seen = {one["uuid"] for one in store.changes("a.png")[1]}
    again = AnnotationStore(path)
    kept = {one["uuid"] for one in again.changes("a.png")[1]}
    again.close()
    assert kept == seen >= {"uuid-0000", "in-the-log", "afterwards"}


@pytest.mark.parametrize("happened", HARM)
def test_no_mask_is_acknowledged_by_a_server_whose_files_are_others(
    store, path, happened
):
    HARM[happened](path)
    for ask in (
        lambda: add(store, "afterwards"),
        lambda: store.change(1, 1, {"label": "x"}),
        lambda: store.changes("a.png"),
    ):
        with pytest.raises(DatabaseReplaced, match=path.name):
            ask()


@pytest.mark.parametrize("happened", ["replaced by a copy", "moved away"])
def test_the_log_is_not_taken_for_that_of_a_file_that_was_put_there(
    store, path, happened
):
    backup = path.with_name("backup").read_bytes()
    path.rename(path.with_name("old"))
    if happened == "replaced by a copy":
        path.with_name("backup").rename(path)
        with pytest.raises(DatabaseReplaced):
            add(store, "afterwards")
        # The server is killed: nothing is closed.
        assert path.read_bytes() == backup
        assert log_of(path).stat().st_size == 0
        old = sqlite3.connect(path.with_name("old"))
        assert old.execute(
            "SELECT COUNT(*) FROM annotations WHERE uuid = 'in-the-log'"
        ).fetchone() == (1,)
        old.close()
    else:
        with pytest.raises(DatabaseReplaced):
            add(store, "afterwards")
        assert log_of(path).stat().st_size > 0
        with pytest.raises(ValueError, match="put the database back"):
            AnnotationStore(path)


def test_what_is_left_of_a_database_is_named_and_left_alone(path):
    path.parent.mkdir()
    path.touch()
    with pytest.raises(ValueError, match="has 0 bytes.*remove the file to begin anew"):
        AnnotationStore(path)
    assert path.stat().st_size == 0
    path.unlink()
    AnnotationStore(path).close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_of_a_server_that_is_killed_at_its_start_no_half_database_is_left(
    path, monkeypatch
):
    path.parent.mkdir()

    def stop(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr("samjax.engine.annotations.schema.os.link", stop)
    with pytest.raises(KeyboardInterrupt):
        AnnotationStore(path)
    assert not path.exists()
    # A file system without links.
    monkeypatch.setattr(
        "samjax.engine.annotations.schema.os.link",
        lambda *names: os.stat("/nowhere/at/all"),
    )
    store = AnnotationStore(path)
    add(store)
    store.close()


def test_two_servers_store_at_once_through_many_checkpoints(path):
    path.parent.mkdir()
    stores = [AnnotationStore(path), AnnotationStore(path)]
    long = fields(label="", author="")
    long["prompts"] = {**long["prompts"], "text": "x" * 150_000}
    problems: list[Exception] = []

    def some(store, writer):
        try:
            for number in range(8):
                store.add("a.png", f"uuid-{writer}-{number}", mask(), long)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [
        threading.Thread(target=some, args=(store, f"{number}{writer}"))
        for number, store in enumerate(stores)
        for writer in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    # So much that SQLite brought the log into the file meanwhile.
    assert path.stat().st_size > 2_000_000
    for store in stores:
        assert len(store.changes("a.png")[1]) == 48
        store.close()
