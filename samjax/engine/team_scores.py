"""Scores of finished tasks: gold images against trusted masks, and two people compared.

A score is computed when it is first read, and again when the masks changed since: those
of a task are the masks as they were when it was finished, before any review.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from samjax.engine.agreement import compare_masks
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.history import rows_at
from samjax.engine.annotations.rows import stored
from samjax.engine.sources import is_open
from samjax.files import json_text

# A gold task is compared with the image's own masks as they are now; a task of an image
# that was handed out twice with the other task, once both are done.
_DUE = """
SELECT * FROM (
    SELECT t.id, t.image, t.layer, t.revision, o.id AS other,
        CASE WHEN t.purpose = 'gold' THEN COALESCE((
            SELECT MAX(revision) FROM annotations WHERE image = t.image AND layer = 0
        ), 0) ELSE o.revision END AS other_revision
    FROM tasks t LEFT JOIN tasks o ON t.purpose = 'agreement' AND o.image = t.image
        AND o.kind = 'annotate' AND o.round = t.round AND o.purpose = 'work'
    WHERE t.kind = 'annotate' AND t.purpose <> 'work' AND t.state = 'done'
        AND (t.purpose = 'gold' OR o.state = 'done')
) due WHERE NOT EXISTS (
    SELECT 1 FROM scores s WHERE s.task = due.id AND s.revision = due.revision
    AND s.other_revision = due.other_revision
)
"""
_SCORES = """
SELECT s.*, t.purpose, t.round, t.assignee AS person, o.assignee AS other_person
FROM scores s JOIN tasks t ON t.id = s.task LEFT JOIN tasks o ON o.id = s.other
WHERE t.state = 'done' ORDER BY s.task
"""


def update_scores(database: Database) -> None:
    """Computes the scores that are missing or out of date.

    Raises:
        DatabaseReplaced: The file is not the one that was opened.
    """
    with database.reading() as read:
        rows = [_score(read, due) for due in read.execute(_DUE).fetchall()]
    if not rows:
        return
    names = ", ".join(rows[0])
    marks = ", ".join("?" * len(rows[0]))
    with database.writing() as write:
        write.executemany(
            f"INSERT OR REPLACE INTO scores ({names}) VALUES ({marks})",
            [list(row.values()) for row in rows],
        )


def read_scores(database: Database) -> Sequence[dict[str, Any]]:
    """Returns all scores: `purpose` (`gold` or `agreement`), `round`, `image`, `person`,
    `other_person` (None for gold), `mean_iou` and `boundary_iou` (None without a pair),
    `matched`, `missed`, `extra`, and `labels` (pairs of them).

    Raises:
        DatabaseReplaced: The file is not the one that was opened.
    """
    update_scores(database)
    with database.connection() as connection:
        return [
            dict(row) | {"labels": [tuple(pair) for pair in json.loads(row["labels"])]}
            for row in connection.execute(_SCORES)
        ]


def _score(read: sqlite3.Connection, due: sqlite3.Row) -> dict[str, Any]:
    own, other = (
        [
            stored(row)
            for row in rows_at(read, revision, image=due["image"], layer=layer)
            if not is_open(dict(row))
        ]
        for revision, layer in (
            (due["revision"], due["layer"]),
            (due["other_revision"], 0),
        )
    )
    result = compare_masks(own, other)
    return {
        "task": due["id"],
        "other": due["other"],
        "image": due["image"],
        **result._asdict(),
        "labels": json_text(result.labels),
        "revision": due["revision"],
        "other_revision": due["other_revision"],
    }
