"""Rows of the annotation table, and annotations as callers see them."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from samjax.engine.annotations.encoded_mask import EncodedMask
from samjax.engine.annotations.errors import (
    DeletedAnnotation,
    RevisionConflict,
    UnknownAnnotation,
)
from samjax.files import json_text

# SQLite's integers have 64 bits with sign, and its driver raises OverflowError beyond.
_ID_END = 1 << 63

Stored = dict[str, Any]
"""A stored annotation: `id`, `uuid`, `image` (its name), `revision`, `segmentation` (COCO's
compressed run-length encoding), `area`, `bbox` (as SA-1B's), the fields of
`AnnotationStore.add`, and `created` and `changed` (ISO 8601)."""

_FIELDS = (
    *("label", "prompts", "score", "stability_score", "source", "edited", "level"),
    *("seconds", "author", "order", "stage", "round", "model", "active_seconds"),
    *("clicks", "strokes", "undos"),
)
# `order` is a keyword of SQL.
_COLUMNS = {name: "place" if name == "order" else name for name in _FIELDS}


def mask_columns(mask: EncodedMask) -> dict[str, Any]:
    """Returns the columns that hold a mask."""
    height, width = mask.size
    return {
        "height": height,
        "width": width,
        "counts": mask.counts,
        "area": mask.area,
        "bbox": json_text(mask.bbox),
    }


def field_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns that hold the fields of `AnnotationStore.add`."""
    columns = {_COLUMNS[name]: value for name, value in fields.items()}
    if "prompts" in columns:
        columns["prompts"] = json_text(columns["prompts"])
    return columns


def stored(row: sqlite3.Row) -> Stored:
    """Returns the annotation of a row."""
    fields = {name: row[column] for name, column in _COLUMNS.items()}
    # SQLite has neither booleans nor lists.
    fields |= {"edited": bool(row["edited"]), "prompts": json.loads(row["prompts"])}
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "image": row["image"],
        "revision": row["revision"],
        "segmentation": {
            "size": [row["height"], row["width"]],
            "counts": row["counts"],
        },
        "area": row["area"],
        "bbox": json.loads(row["bbox"]),
        **fields,
        "created": row["created"],
        "changed": row["changed"],
    }


def next_revision(write: sqlite3.Connection) -> int:
    """Returns the next value of the counter of revisions, which is taken by this."""
    write.execute("UPDATE counter SET revision = revision + 1")
    return write.execute("SELECT revision FROM counter").fetchone()[0]


def row_by_id(connection: sqlite3.Connection, annotation_id: int) -> sqlite3.Row:
    """Returns the row of an annotation, also of a deleted one.

    Raises:
        UnknownAnnotation: No annotation has this id.
    """
    row = None
    if annotation_id < _ID_END:
        row = connection.execute(
            "SELECT * FROM annotations WHERE id = ?", (annotation_id,)
        ).fetchone()
    if row is None:
        raise UnknownAnnotation(
            f"got the id {annotation_id}, expected that of a stored annotation: list "
            "those of its image"
        )
    return row


def existing_row(connection: sqlite3.Connection, annotation_id: int) -> sqlite3.Row:
    """Returns the row of an annotation.

    Raises:
        UnknownAnnotation: No annotation has this id.
        DeletedAnnotation: It was deleted.
    """
    row = row_by_id(connection, annotation_id)
    if row["deleted"]:
        raise DeletedAnnotation(
            f"the annotation {annotation_id} was deleted: restore it first"
        )
    return row


def check_revision(row: sqlite3.Row, revision: int) -> None:
    """Refuses a change that is based on another revision than that of a row.

    Raises:
        RevisionConflict: It is.
    """
    if row["revision"] != revision:
        raise RevisionConflict(
            f"got revision {revision} of the annotation {row['id']}, expected "
            f"{row['revision']}: somebody changed it meanwhile; see what it is now",
            stored(row),
        )


def update_row(
    write: sqlite3.Connection, annotation_id: int, columns: Mapping[str, Any]
) -> None:
    """Writes columns of an annotation."""
    settings = ", ".join(f"{name} = ?" for name in columns)
    write.execute(
        f"UPDATE annotations SET {settings} WHERE id = ?",
        [*columns.values(), annotation_id],
    )
