"""Proposals in the layers of tasks whose masks are apart: gold images, second people.

People get proposals on an image like on any other, whatever the purpose of their task.
Those on gold images wait in layers of their own, below 0, made without a look at the
trusted masks: a task takes one of them. The second of two people gets the proposals
that the first one got, as they were before anybody decided on them.
"""

import sqlite3
import uuid

from samjax.engine.annotations.rows import next_revision
from samjax.engine.annotations.tables import KEPT
from samjax.engine.sources import PROPOSED

# The layer that is never given away: tasks beyond the waiting layers get copies of it.
_LAST = -1

_NAMESPACE = uuid.UUID("0d9f7d36-6f0c-4b5e-8a51-3c2b7e9d4f60")

# The first version of every proposal that no newer model's replaced.
_ORIGINALS = f"""
SELECT uuid, image, created, {", ".join(KEPT)} FROM (
    SELECT a.id, a.uuid, a.image, a.created, a.layer, a.deleted AS is_deleted,
        a.source AS last_source, {", ".join(f"v.{name}" for name in KEPT)}
    FROM annotations a JOIN versions v ON v.annotation = a.id AND v.revision = (
        SELECT MIN(revision) FROM versions WHERE annotation = a.id
    )
    UNION ALL
    SELECT a.id, a.uuid, a.image, a.created, a.layer, a.deleted, a.source,
        {", ".join(f"a.{name}" for name in KEPT)}
    FROM annotations a
    WHERE NOT EXISTS (SELECT 1 FROM versions WHERE annotation = a.id)
) WHERE image = :image AND layer = :layer AND source = :proposed AND edited = 0
AND NOT (is_deleted AND last_source = :proposed) ORDER BY id
"""


def fill_layer(write: sqlite3.Connection, image: str, layer: int, purpose: str) -> None:
    """Gives the layer of a task that begins the proposals of its image.

    A layer with masks stays as it is.

    Args:
        write: The database, in a transaction.
        image: Name of the image.
        layer: Layer of the task, above 0.
        purpose: Purpose of the task.
    """
    place = {"image": image, "layer": layer}
    if write.execute(
        "SELECT 1 FROM annotations WHERE image = :image AND layer = :layer", place
    ).fetchone():
        return
    source = 0
    if purpose == "gold":
        # Moved rather than copied: new ids and revisions would tell the image.
        first = write.execute(
            "SELECT MIN(layer) FROM annotations WHERE image = :image AND layer < 0",
            place,
        ).fetchone()[0]
        if first is not None and first < _LAST:
            write.execute(
                "UPDATE annotations SET layer = :layer "
                "WHERE image = :image AND layer = :first",
                place | {"first": first},
            )
            return
        source = _LAST
    for row in _originals(write, image, source):
        columns = dict(row) | {
            # Version 5, as those of all proposals.
            "uuid": str(uuid.uuid5(_NAMESPACE, f"{row['uuid']}\n{layer}")),
            "layer": layer,
            "revision": next_revision(write),
        }
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        write.execute(
            f"INSERT INTO annotations ({names}) VALUES ({marks})",
            list(columns.values()),
        )


def layers_for_proposals(
    connection: sqlite3.Connection, image: str, is_gold: bool
) -> list[int]:
    """Returns the layers that get the proposals of an image.

    That of the image, and those of second people who have not begun; of a gold image
    one for each person, and all others that wait.

    Args:
        connection: The database.
        image: Name of the image.
        is_gold: Whether it is handed out as a gold image.
    """
    if is_gold:
        count = connection.execute(
            "SELECT COUNT(*) FROM people WHERE token NOT NULL"
        ).fetchone()[0]
        waiting = connection.execute(
            "SELECT DISTINCT layer FROM annotations WHERE image = ? AND layer < 0",
            (image,),
        ).fetchall()
        wanted = {_LAST - number for number in range(max(count, 1))}
        # Those of people who have left are kept up to date too: they are given away.
        return sorted(wanted | {row["layer"] for row in waiting}, reverse=True)
    rows = connection.execute(
        "SELECT layer FROM tasks WHERE image = ? AND purpose = 'agreement' "
        "AND state = 'open' AND attempt = 0 ORDER BY layer",
        (image,),
    )
    return [0, *(row["layer"] for row in rows)]


def count_gold_tasks(connection: sqlite3.Connection, image: str) -> int:
    """Returns how often an image was handed out as gold."""
    return connection.execute(
        "SELECT COUNT(*) FROM tasks WHERE image = ? AND purpose = 'gold'", (image,)
    ).fetchone()[0]


def _originals(
    connection: sqlite3.Connection, image: str, layer: int
) -> list[sqlite3.Row]:
    values = {"image": image, "layer": layer, "proposed": PROPOSED}
    return connection.execute(_ORIGINALS, values).fetchall()
