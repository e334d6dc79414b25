"""The history of annotations: versions, snapshots, and the migration that begins it."""

import random
import sqlite3
from pathlib import Path

import pytest
from engine.annotations.store_test import FIRST_RELEASE, add, mask

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations import schema as opening
from samjax.engine.annotations.tables import MIGRATIONS, VERSION


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "annotations.sqlite3"


@pytest.fixture
def store(path):
    made = AnnotationStore(path)
    yield made
    made.close()


def test_every_change_leaves_the_version_before_it(store):
    made = add(store, label="cat", clicks=2, active_seconds=3.5, model="m1")
    changed = store.change(made["id"], made["revision"], {"label": "dog"}, mask(5))
    store.delete(made["id"], changed["revision"])
    versions = store.history(made["id"])
    assert versions[:2] == [made, changed]
    assert [version["label"] for version in versions] == ["cat", "dog", "dog"]
    assert [version["area"] for version in versions] == [3, 5, 5]
    assert (made["clicks"], made["active_seconds"], made["model"]) == (2, 3.5, "m1")
    assert (made["stage"], made["round"], made["undos"]) == (1, 0, None)


def test_a_snapshot_is_all_that_was_there_at_its_revision(store):
    """Against states that were kept aside after every write, 60 random writes."""
    draw = random.Random(0)
    present, deleted, states = {}, [], {0: []}
    for number in range(60):
        action = draw.choice(["add", "change", "change", "delete", "restore"])
        if action == "restore" and deleted:
            row = store.restore(deleted.pop())
        elif action == "delete" and present:
            row = present.pop(draw.choice(list(present)))
            store.delete(row["id"], row["revision"])
            deleted.append(row["id"])
            row = None
        elif action == "change" and present:
            row = present[draw.choice(list(present))]
            row = store.change(row["id"], row["revision"], {"label": str(number)})
        else:
            row = add(store, f"uuid-{number:04d}", draw.choice("ab") + ".png")
        if row is not None:
            present[row["id"]] = row
        states[store.snapshot()[0]] = sorted(
            present.values(), key=lambda row: (row["image"], row["id"])
        )
    assert len(states) == 61
    for revision, state in states.items():
        assert store.snapshot(revision) == (revision, state)


def test_a_revision_of_the_future_is_that_of_now(store):
    made = add(store)
    assert store.snapshot(99) == (1, [made])


def test_versions_cannot_be_changed(store, path):
    made = add(store)
    store.change(made["id"], made["revision"], {"label": "dog"})
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="are not changed"):
        connection.execute("UPDATE versions SET label = 'bird'")
    connection.close()


def test_a_renamed_person_has_the_old_name_nowhere(store, path):
    made = add(store, author="Ada Lovelace")
    store.change(made["id"], made["revision"], {"label": "dog"})
    store.rename_author("Ada Lovelace", "person-1")
    assert [v["author"] for v in store.history(made["id"])] == ["person-1"] * 2
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")
    connection.close()
    assert b"Lovelace" not in path.read_bytes()


def first_version(path: Path, masks: int) -> list[tuple]:
    """Writes a database of version 1, and returns its rows."""
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_RELEASE)
    row = connection.execute("SELECT * FROM annotations").fetchone()
    connection.executemany(
        f"INSERT INTO annotations VALUES ({', '.join('?' * len(row))})",
        [
            (100 + n, f"uuid-{n:05d}", f"{n % 97}.png", 100 + n, n % 5 == 0)
            + (*row[5:7], row[7], n, *row[9:11], f'{{"é": {n}}}', n / 7, *row[13:])
            for n in range(masks)
        ],
    )
    connection.execute("UPDATE counter SET revision = ?", (100 + masks,))
    connection.commit()
    rows = connection.execute("SELECT * FROM annotations").fetchall()
    connection.close()
    return rows


def rows_of(path: Path, columns: int) -> list[tuple]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM annotations").fetchall()
    connection.close()
    return [row[:columns] for row in rows]


def test_migration_keeps_every_mask_and_a_copy_of_the_old_database(path):
    rows = first_version(path, 10_000)
    store = AnnotationStore(path)
    assert len(store.snapshot()[1]) == 1 + 8_000
    store.close()
    columns = len(rows[0])
    assert rows_of(path, columns) == rows
    backup = path.with_name("annotations.version-1.sqlite3")
    assert rows_of(backup, columns + 1) == rows
    # A second opening makes no further copy.
    AnnotationStore(path).close()
    assert {file.name for file in path.parent.iterdir()} == {path.name, backup.name}


def test_a_file_beside_with_the_name_of_the_copy_is_left_alone(path):
    first_version(path, 3)
    backup = path.with_name("annotations.version-1.sqlite3")
    backup.write_text("mine")
    AnnotationStore(path).close()
    assert backup.read_text() == "mine"
    assert path.with_name("annotations.version-1.2.sqlite3").exists()


@pytest.mark.parametrize("step", range(1, 8))
def test_a_migration_that_fails_midway_changes_nothing(path, monkeypatch, step):
    rows = first_version(path, 3)
    broken = (*MIGRATIONS[1][:step], "SELECT no_such_column FROM annotations")
    monkeypatch.setattr(opening, "MIGRATIONS", (MIGRATIONS[0], broken))
    with pytest.raises(OSError, match="no such column"):
        AnnotationStore(path)
    assert rows_of(path, 99) == rows
    monkeypatch.undo()
    AnnotationStore(path).close()
    assert rows_of(path, len(rows[0])) == rows


def test_a_new_database_has_the_tables_of_a_migrated_one(path, tmp_path):
    def tables(file: Path) -> set[tuple]:
        connection = sqlite3.connect(file)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")]
        columns = {
            (name, *column)
            for name in names
            for column in connection.execute(f"PRAGMA table_info({name})")
        }
        assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
        connection.close()
        return columns | {(name,) for name in names}

    first_version(path, 1)
    AnnotationStore(path).close()
    new = tmp_path / "new.sqlite3"
    AnnotationStore(new).close()
    assert tables(path) == tables(new)


def test_a_server_of_the_old_version_that_still_runs_writes_history_too(path):
    first_version(path, 1)
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("SELECT * FROM annotations").fetchall()
    store = AnnotationStore(path)
    old.execute("UPDATE counter SET revision = revision + 1")
    old.execute("UPDATE annotations SET label = 'bird', revision = 102 WHERE id = 7")
    assert [v["label"] for v in store.history(7)] == ["cat", "bird"]
    old.close()
    store.close()
