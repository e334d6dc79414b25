import sqlite3
import threading

import numpy as np
import pytest

from samjax.engine.annotations import AnnotationStore, EncodedMask, encoded_mask
from samjax.engine.annotations.errors import (
    DeletedAnnotation,
    RevisionConflict,
    UnknownAnnotation,
    UuidTaken,
)
from samjax.engine.annotations.tables import VERSION
from samjax.geometry.masks import encode_rle

SIZE = (6, 8)


def mask(pixels=3) -> EncodedMask:
    drawn = np.zeros(SIZE, bool)
    drawn.flat[:pixels] = True
    return encoded_mask(encode_rle(drawn)["counts"], SIZE)


def fields(**changes):
    defaults = {
        "label": "",
        "prompts": {"points": []},
        "source": "click",
        "edited": False,
        "score": None,
        "stability_score": None,
        "level": None,
        "order": None,
        "seconds": 0.0,
        "author": "",
    }
    return defaults | changes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annotations.sqlite3"


@pytest.fixture
def store(path):
    made = AnnotationStore(path)
    yield made
    made.close()


def add(store, uuid="uuid-one", image="a.png", **changes):
    return store.add(image, uuid, mask(), fields(**changes))[0]


def test_what_is_stored_is_there_for_who_opens_the_file_next(store, path):
    prompts = {
        "points": [[1.5, 2.0]],
        "labels": [1],
        "box": None,
        "mask": True,
        "text": None,
    }
    one = add(store, label="cat", score=0.5, prompts=prompts, edited=True, order=2.5)
    assert (one["label"], one["score"], one["edited"]) == ("cat", 0.5, True)
    assert (one["prompts"], one["area"], one["order"]) == (prompts, 3, 2.5)
    again = AnnotationStore(path)
    assert again.get(one["id"]) == one
    assert again.changes("a.png") == (1, [one], [])
    assert again.changes("b.png") == (1, [], [])
    again.close()


def test_a_uuid_stores_once(store):
    one, is_new = store.add("a.png", "uuid-one", mask(), fields())
    assert is_new
    assert store.add("a.png", "uuid-one", mask(5), fields(label="x")) == (one, False)
    with pytest.raises(UuidTaken, match="another image"):
        add(store, image="b.png")
    store.delete(one["id"], one["revision"])
    with pytest.raises(UuidTaken, match="deleted"):
        add(store)
    assert store.counts(["a.png", "b.png"]) == {}


def test_who_saw_an_older_revision_overwrites_nothing(store):
    one = add(store)
    first = store.change(one["id"], one["revision"], {"label": "cat"})
    for attempt in (
        lambda: store.change(one["id"], one["revision"], {"label": "dog"}),
        lambda: store.change(one["id"], one["revision"], {}, mask(5)),
        lambda: store.delete(one["id"], one["revision"]),
        lambda: store.change(one["id"], first["revision"] + 1, {"label": "dog"}),
    ):
        with pytest.raises(RevisionConflict) as conflict:
            attempt()
        assert conflict.value.annotation == first
        assert store.get(one["id"]) == first
    assert first["label"] == "cat" and first["area"] == one["area"]
    assert first["created"] == one["created"]


def test_of_many_who_change_one_mask_at_once_one_does(store):
    one, won = add(store), []

    def change(label):
        try:
            won.append(store.change(one["id"], one["revision"], {"label": label}))
        except RevisionConflict:
            pass

    threads = [threading.Thread(target=change, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.get(one["id"])]


def test_many_store_at_once_and_nothing_is_lost_or_numbered_twice(store):
    def some(worker):
        for i in range(10):
            add(store, f"uuid-{worker}-{i}")

    threads = [threading.Thread(target=some, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    revision, found, _ = store.changes("a.png")
    assert revision == 60
    assert sorted(one["revision"] for one in found) == list(range(1, 61))


def test_what_changed_since_is_all_that_changed(store):
    first, second = add(store, "uuid-one"), add(store, "uuid-two")
    seen, _, _ = store.changes("a.png")
    assert store.changes("a.png", seen) == (seen, [], [])
    changed = store.change(first["id"], first["revision"], {"label": "cat"})
    store.delete(second["id"], second["revision"])
    newest, kept, deleted = store.changes("a.png", seen)
    assert (kept, deleted) == ([changed], [second["id"]])
    restored = store.restore(second["id"])
    assert store.changes("a.png", newest)[1:] == ([restored], [])
    assert {**restored, "revision": 0, "changed": 0} == {
        **second,
        "revision": 0,
        "changed": 0,
    }


def test_deleting_twice_and_restoring_twice_are_no_errors(store):
    one = add(store)
    store.delete(one["id"], one["revision"])
    store.delete(one["id"], one["revision"])
    with pytest.raises(DeletedAnnotation, match="was deleted"):
        store.get(one["id"])
    with pytest.raises(DeletedAnnotation, match="was deleted"):
        store.change(one["id"], one["revision"], {"label": "x"})
    assert store.restore(one["id"]) == store.restore(one["id"]) == store.get(one["id"])


def test_masks_are_in_the_order_they_are_given(store):
    names = [("uuid-one", None), ("uuid-two", None), ("uuid-three", 0.5)]
    for uuid, order in names:
        add(store, uuid, order=order)
    found = [one["uuid"] for one in store.changes("a.png")[1]]
    assert found == ["uuid-three", "uuid-one", "uuid-two"]


def test_unknown_ids_are_not_found(store):
    for number in (1, 1 << 70):
        for attempt in (
            lambda number=number: store.get(number),
            lambda number=number: store.delete(number, 1),
            lambda number=number: store.restore(number),
            lambda number=number: store.change(number, 1, {}),
        ):
            with pytest.raises(UnknownAnnotation, match=str(number)):
                attempt()


def test_labels_and_counts_are_of_what_is_not_deleted(store):
    add(store, "uuid-one", label="cat")
    add(store, "uuid-two", label="dog", image="b.png")
    add(store, "uuid-three", label="dog")
    gone = add(store, "uuid-four", label="gone", image="c.png")
    store.delete(gone["id"], gone["revision"])
    assert store.labels() == ["dog", "cat"]
    assert store.counts([f"{i}.png" for i in range(3000)] + ["a.png"]) == {"a.png": 2}
    assert sorted(store.annotated()) == ["a.png", "b.png"]


def test_a_write_that_fails_leaves_nothing_of_it(store, monkeypatch):
    one = add(store)
    with pytest.raises(sqlite3.Error):
        store.change(one["id"], one["revision"], {"label": None})
    assert store.get(one["id"]) == one
    assert store.changes("a.png")[0] == one["revision"]


def test_commits_are_on_the_disk_before_they_are_answered(store):
    with store._database.connection() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        full = 2
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == full
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] >= 5000


def test_a_database_of_a_newer_samjax_is_refused_and_left_alone(store, path):
    add(store)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a newer samjax wrote it"):
        AnnotationStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_something_else_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another program"):
        AnnotationStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    with pytest.raises(ValueError, match="no database of annotations"):
        AnnotationStore(path)
    path.unlink()
    with pytest.raises(OSError, match="--state"):
        AnnotationStore(path.parent / "nowhere" / "annotations.sqlite3")


def test_a_database_of_the_first_release_is_read_and_written(path):
    """Tables, ids and rows as samjax wrote them while the store was part of `web`."""
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_RELEASE)
    connection.close()
    store = AnnotationStore(path)
    (before,) = store.changes("sub/a.png")[1]
    assert (before["id"], before["revision"], before["label"]) == (7, 12, "cat")
    assert before["segmentation"] == {"size": [6, 8], "counts": mask().counts}
    assert (before["bbox"], before["order"]) == ([0.0, 0.0, 2.0, 0.0], 2.5)
    assert before["prompts"] == {"points": [[1.5, 2.0]], "labels": [1]}
    assert store.change(7, 12, {"label": "dog"})["revision"] == 13
    assert add(store)["id"] == 8
    store.close()


FIRST_RELEASE = f"""
CREATE TABLE annotations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL, revision INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    height INTEGER NOT NULL, width INTEGER NOT NULL, counts TEXT NOT NULL,
    area INTEGER NOT NULL, bbox TEXT NOT NULL, label TEXT NOT NULL,
    prompts TEXT NOT NULL, score REAL, stability_score REAL, source TEXT NOT NULL,
    edited INTEGER NOT NULL, level TEXT, seconds REAL NOT NULL, author TEXT NOT NULL,
    place REAL, created TEXT NOT NULL, changed TEXT NOT NULL
);
CREATE INDEX annotations_of_image ON annotations (image, revision);
CREATE TABLE counter (revision INTEGER NOT NULL);
INSERT INTO counter VALUES (12);
INSERT INTO annotations VALUES (
    7, 'uuid-seven', 'sub/a.png', 12, 0, 6, 8, '{mask().counts}', 3,
    '[0.0, 0.0, 2.0, 0.0]', 'cat', '{{"points": [[1.5, 2.0]], "labels": [1]}}',
    0.5, NULL, 'click', 0, NULL, 3.0, 'me', 2.5,
    '2026-01-01T00:00:00.000+00:00', '2026-01-01T00:00:00.000+00:00'
);
PRAGMA application_id = {0x736A6178};
PRAGMA user_version = 1;
"""
