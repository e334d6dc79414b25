"""Rows of the task table: tasks as callers see them, and the statements on them."""

import dataclasses
import secrets
import sqlite3
from collections.abc import Sequence
from typing import Literal

from samjax.engine.annotations.errors import LeaseLost, UnknownTask

TaskKind = Literal["annotate", "verify", "audit"]
TaskState = Literal["open", "leased", "done", "skipped", "flagged"]
TaskPurpose = Literal["work", "gold", "agreement"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task.

    Attributes:
        id: Its id.
        image: Name of the image.
        kind: `annotate`, `verify` (by another person than the masks' authors) or `audit`.
        state: `open`, `leased`, `done`, `skipped` or `flagged`.
        assignee: Name of the person who has or had it; None if nobody did.
        lease_until: End of the lease, in seconds since 1970; None without a lease.
        priority: Tasks of higher priority are claimed first.
        round: Round of the data engine.
        attempt: Number of times that the task was claimed.
        note: The reason why it was skipped, flagged or returned.
        purpose: `work`; `gold` for an image with trusted masks, `agreement` for the
            second of two people on one image.
        layer: Layer of its masks in the store: 0 for the image's own.
        subject: Id of the task that is verified.
        revision: Revision of the annotations when it was finished; while it is leased,
            when it was claimed.
    """

    id: int
    image: str
    kind: TaskKind
    state: TaskState
    assignee: str | None
    lease_until: float | None
    priority: float
    round: int
    attempt: int
    note: str
    purpose: TaskPurpose
    layer: int
    subject: int | None
    revision: int | None


# A returned task is open, and reserved until `lease_until` for the person who made it; a
# gold one is that of one person for good. One's own come first. Nobody annotates an image twice in a round, nor verifies what they made themselves.
_NEXT = """
SELECT * FROM tasks WHERE kind IN ({kinds}) AND (
    (state = 'open' AND (
        assignee IS NULL OR assignee = :person OR COALESCE(lease_until, 0) < :now))
    OR (state = 'leased' AND lease_until < :now)
) AND (purpose <> 'gold' OR assignee = :person)
AND (kind <> 'annotate' OR NOT EXISTS (
    SELECT 1 FROM tasks other
    WHERE other.image = tasks.image AND other.kind = 'annotate'
    AND other.round = tasks.round AND other.id <> tasks.id
    AND other.assignee = :person
)) AND (kind <> 'verify' OR NOT EXISTS (
    SELECT 1 FROM annotations a
    WHERE a.image = tasks.image AND a.layer = 0 AND a.deleted = 0 AND COALESCE((
        SELECT author FROM versions WHERE annotation = a.id ORDER BY revision LIMIT 1
    ), a.author) = :person
) AND NOT EXISTS (
    SELECT 1 FROM tasks made WHERE made.id = tasks.subject AND made.assignee = :person
))
ORDER BY COALESCE(assignee = :person, 0) DESC, priority DESC, place, id
"""


def open_tasks(
    connection: sqlite3.Connection, person: str, kinds: Sequence[TaskKind], now: float
) -> sqlite3.Cursor:
    """Returns the tasks that a person may claim, the next one first.

    Args:
        connection: The database.
        person: Name of the person; empty for anybody.
        kinds: Kinds of tasks.
        now: The time, in seconds since 1970.
    """
    names = {f"kind{number}": kind for number, kind in enumerate(kinds)}
    statement = _NEXT.format(kinds=", ".join(f":{name}" for name in names))
    # Nobody has an empty name.
    return connection.execute(statement, {"person": person, "now": now, **names})


def insert_tasks(write: sqlite3.Connection, tasks: Sequence[dict]) -> None:
    """Inserts tasks of the same columns at the end of the queue.

    Ids are random: those of gold images, which are made late, must not stand out.
    """
    last = write.execute("SELECT COALESCE(MAX(place), 0) FROM tasks").fetchone()[0]
    for number, task in enumerate(tasks, 1):
        columns = {"id": new_task_id(), "place": last + number} | task
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        write.execute(
            f"INSERT INTO tasks ({names}) VALUES ({marks})", list(columns.values())
        )


def new_task_id() -> int:
    """Returns a random id; JavaScript's numbers hold it."""
    return 1 + secrets.randbelow((1 << 53) - 1)


def newest_revision(connection: sqlite3.Connection) -> int:
    """Returns the newest revision of the annotations."""
    return connection.execute("SELECT revision FROM counter").fetchone()[0]


def first_priority(connection: sqlite3.Connection) -> float:
    """Returns a priority above those of all tasks."""
    return 1 + connection.execute("SELECT MAX(priority) FROM tasks").fetchone()[0]


def held(connection: sqlite3.Connection, task_id: int, person: str) -> sqlite3.Row:
    """Returns the row of a task that a person has.

    A lapsed lease that nobody has taken over is still good: no work is thrown away.

    Raises:
        UnknownTask: No task has this id.
        LeaseLost: The task belongs to somebody else by now, or was finished.
    """
    row = row_of(connection, task_id)
    if row["state"] != "leased" or row["assignee"] != person:
        raise LeaseLost(
            f"the task {task_id} is {row['state']}, and not leased to this person: its "
            "masks are stored; claim another task"
        )
    return row


def row_of(connection: sqlite3.Connection, task_id: int) -> sqlite3.Row:
    """Returns the row of a task.

    Raises:
        UnknownTask: No task has this id.
    """
    row = connection.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if row is None:
        raise UnknownTask(f"got the id {task_id}, expected that of a task: claim one")
    return row


def task_of(row: sqlite3.Row) -> Task:
    """Returns the task of a row."""
    names = [field.name for field in dataclasses.fields(Task)]
    return Task(**{name: row[name] for name in names})
