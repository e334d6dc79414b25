"""Rows of the annotation table, and annotations as callers see them."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from samjax.engine.annotations.encoded_mask import EncodedMask
from samjax.files import json_text

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
