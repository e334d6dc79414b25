"""Annotations as they were: the versions of one, and all of them at a revision."""

import re
import sqlite3

from samjax.engine.annotations.tables import KEPT

_NAMES_OF_PEOPLE = (
    ("annotations", "author"),
    ("versions", "author"),
    ("tasks", "assignee"),
    ("reviews", "annotator"),
    ("reviews", "reviewer"),
    ("mask_reviews", "reviewer"),
    ("regions", "author"),
    ("regions", "removed_by"),
)
_NOTES = ("tasks", "reviews", "mask_reviews")
_FORMER = "a.id, a.uuid, a.image, a.created, " + ", ".join(f"v.{name}" for name in KEPT)
_SNAPSHOT = f"""
SELECT a.id, a.uuid, a.image, a.created, {", ".join(f"a.{name}" for name in KEPT)}
FROM annotations a
WHERE a.layer = :layer AND a.revision <= :revision AND a.deleted = 0
AND (a.image = :image OR :image IS NULL)
UNION ALL
SELECT {_FORMER} FROM annotations a JOIN versions v ON v.annotation = a.id
WHERE a.layer = :layer AND a.revision > :revision AND v.deleted = 0
AND (a.image = :image OR :image IS NULL) AND v.revision = (
    SELECT MAX(revision) FROM versions
    WHERE annotation = a.id AND revision <= :revision
)
ORDER BY image, id
"""


def former_rows(read: sqlite3.Connection, annotation_id: int) -> list[sqlite3.Row]:
    """Returns the versions of an annotation before its present one, the oldest first."""
    return read.execute(
        f"SELECT {_FORMER} FROM versions v JOIN annotations a ON a.id = v.annotation "
        "WHERE a.id = ? ORDER BY v.revision",
        (annotation_id,),
    ).fetchall()


def rows_at(
    read: sqlite3.Connection, revision: int, image: str | None = None, layer: int = 0
) -> list[sqlite3.Row]:
    """Returns the annotations that were there at a revision, by image and id.

    Args:
        read: The database.
        revision: The revision.
        image: Name of the only image; None for all.
        layer: The layer: 0 for the images' own masks, without those that a person made
            of a gold image, and those of the second of two people on one image.
    """
    values = {"revision": revision, "image": image, "layer": layer}
    return read.execute(_SNAPSHOT, values).fetchall()


def rename_person(write: sqlite3.Connection, name: str, new_name: str) -> None:
    """Replaces a person's name in every table, and as a whole word in notes."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    for table in _NOTES:
        notes = write.execute(
            f"SELECT id, note FROM {table} WHERE instr(note, ?)", (name,)
        ).fetchall()
        write.executemany(
            f"UPDATE {table} SET note = ? WHERE id = ?",
            [(word.sub(lambda _: new_name, row["note"]), row["id"]) for row in notes],
        )
    for table, column in _NAMES_OF_PEOPLE:
        write.execute(
            f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new_name, name)
        )
