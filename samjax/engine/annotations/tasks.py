"""The queue of annotation tasks: images that people claim, one at a time.

A claimed task is leased: it belongs to its person until it is finished or the lease ends.
Every saved mask renews the lease. After its end the task is open again, and the masks that
were made stay.
"""

import dataclasses
import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from samjax.engine.annotations.database import Database
from samjax.engine.annotations.errors import LeaseLost, UnknownTask

TaskKind = Literal["annotate", "verify", "audit"]
TaskState = Literal["open", "leased", "done", "skipped", "flagged"]

LEASE_SECONDS = 1800.0


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


class TaskQueue:
    """The tasks of an annotation database.

    Args:
        database: The database.
        now: Clock.
        lease_seconds: Length of a lease.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        lease_seconds: float = LEASE_SECONDS,
    ):
        self._database = database
        self._now = now
        self._lease_seconds = lease_seconds

    def add(
        self,
        images: Iterable[str],
        kind: TaskKind = "annotate",
        *,
        round: int = 0,
        priority: float = 0.0,
        seed: int | None = 0,
    ) -> int:
        """Adds a task for every image that has none of this kind and round.

        Args:
            images: Names of images.
            kind: Kind of the tasks.
            round: Round of the data engine.
            priority: Priority of all of them.
            seed: Seed of the random order in which they are claimed, so that what was
                annotated so far is an unbiased sample; None keeps the given order.

        Returns:
            The number of new tasks.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        names = list(dict.fromkeys(images))
        if seed is not None:
            random.Random(seed).shuffle(names)
        time = self._text(self._now())
        with self._database.writing() as write:
            known = {
                row["image"]
                for row in write.execute(
                    "SELECT image FROM tasks WHERE kind = ? AND round = ?",
                    (kind, round),
                )
            }
            new = [name for name in names if name not in known]
            write.executemany(
                "INSERT INTO tasks (image, kind, round, priority, created, changed) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(name, kind, round, priority, time, time) for name in new],
            )
        return len(new)

    def claim(
        self, person: str, kinds: Sequence[TaskKind] = ("annotate",)
    ) -> Task | None:
        """Leases the next task to a person.

        A person who has a lease gets that task again, as after a reload of the page.
        Tasks to verify go to people who made none of the image's masks.

        Args:
            person: Name of the person.
            kinds: Kinds of tasks that the person takes.

        Returns:
            The task; None if no task is open.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        now = self._now()
        marks = ", ".join("?" * len(kinds))
        with self._database.writing() as write:
            row = write.execute(
                "SELECT * FROM tasks WHERE state = 'leased' AND assignee = ? "
                f"AND lease_until >= ? AND kind IN ({marks}) ORDER BY id",
                (person, now.timestamp(), *kinds),
            ).fetchone()
            if row is None:
                row = write.execute(
                    _NEXT.format(kinds=marks), (now.timestamp(), *kinds, person)
                ).fetchone()
                if row is None:
                    return None
                columns = {"assignee": person, "attempt": row["attempt"] + 1}
            else:
                columns = {}
            columns |= {"state": "leased", **self._lease(now)}
            return self._update(write, row["id"], columns)

    def renew(self, task_id: int, person: str) -> Task:
        """Extends a person's lease.

        Raises:
            UnknownTask: No task has this id.
            LeaseLost: The task belongs to somebody else by now, or was finished.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            _held(write, task_id, person)
            return self._update(write, task_id, self._lease(self._now()))

    def finish(
        self,
        task_id: int,
        person: str,
        state: Literal["done", "skipped", "flagged"] = "done",
        note: str = "",
    ) -> Task:
        """Ends a person's work on a task. Finishing it twice is no error.

        Args:
            task_id: Id of the task.
            person: The person who holds the lease. After its end, too, unless somebody
                else has claimed the task since.
            state: The state to leave the task in.
            note: A reason; required for `skipped` and `flagged`.

        Raises:
            ValueError: The reason is missing.
            UnknownTask: No task has this id.
            LeaseLost: The task belongs to somebody else by now.
            DatabaseReplaced: The file is not the one that was opened.
        """
        if state != "done" and not note.strip():
            raise ValueError(
                f"got no reason for a task that is {state}: expected a note"
            )
        with self._database.writing() as write:
            row = _row(write, task_id)
            if (row["state"], row["assignee"]) == (state, person):
                return _task(row)
            _held(write, task_id, person)
            columns = {"state": state, "note": note, "lease_until": None}
            return self._update(write, task_id, columns)

    def give_back(self, task_id: int, person: str) -> Task:
        """Opens a claimed task again for anybody.

        Raises:
            UnknownTask: No task has this id.
            LeaseLost: The task belongs to somebody else by now, or was finished.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            _held(write, task_id, person)
            columns = {"state": "open", "assignee": None, "lease_until": None}
            return self._update(write, task_id, columns)

    def reopen(self, task_id: int, note: str) -> Task:
        """Returns a finished task to the queue, before all others, with a note.

        Args:
            task_id: Id of the task.
            note: The note for the next person.

        Raises:
            UnknownTask: No task has this id.
            LeaseLost: The task was not finished.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            row = _row(write, task_id)
            if row["state"] in ("open", "leased"):
                raise LeaseLost(
                    f"the task {task_id} is {row['state']}, expected a finished one: "
                    "wait until it is done"
                )
            first = write.execute("SELECT MAX(priority) FROM tasks").fetchone()[0]
            columns = {"state": "open", "note": note, "assignee": None}
            return self._update(write, task_id, columns | {"priority": first + 1})

    def get(self, task_id: int) -> Task:
        """Returns a task.

        Raises:
            UnknownTask: No task has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            return _task(_row(connection, task_id))

    def upcoming(
        self, count: int, kinds: Sequence[TaskKind] = ("annotate",)
    ) -> list[str]:
        """Returns the images of the next tasks, so that they can be embedded before.

        Args:
            count: The most images to return.
            kinds: Kinds of tasks.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        statement = _NEXT.format(kinds=", ".join("?" * len(kinds)))
        # No author has an empty name, so that nobody's tasks are left out.
        values = (self._now().timestamp(), *kinds, "")
        with self._database.connection() as connection:
            rows = connection.execute(statement, values).fetchmany(count)
        return [row["image"] for row in rows]

    def counts(self, round: int | None = None) -> dict[tuple[str, str], int]:
        """Returns the number of tasks by kind and state.

        Args:
            round: Round of the data engine; None counts all.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT kind, state, COUNT(*) FROM tasks WHERE round = ? OR ? IS NULL "
                "GROUP BY kind, state",
                (round, round),
            ).fetchall()
        return {(row[0], row[1]): row[2] for row in rows}

    def _lease(self, now: datetime) -> dict[str, float]:
        return {"lease_until": now.timestamp() + self._lease_seconds}

    def _text(self, time: datetime) -> str:
        return time.isoformat(timespec="milliseconds")

    def _update(self, write: sqlite3.Connection, task_id: int, columns: dict) -> Task:
        columns = columns | {"changed": self._text(self._now())}
        settings = ", ".join(f"{name} = ?" for name in columns)
        write.execute(
            f"UPDATE tasks SET {settings} WHERE id = ?", [*columns.values(), task_id]
        )
        return _task(_row(write, task_id))


_NEXT = """
SELECT * FROM tasks WHERE (state = 'open' OR (state = 'leased' AND lease_until < ?))
AND kind IN ({kinds}) AND (kind <> 'verify' OR NOT EXISTS (
    SELECT 1 FROM annotations
    WHERE annotations.image = tasks.image AND annotations.author = ? AND deleted = 0
))
ORDER BY priority DESC, id
"""


def _row(connection: sqlite3.Connection, task_id: int) -> sqlite3.Row:
    row = connection.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if row is None:
        raise UnknownTask(f"got the id {task_id}, expected that of a task: claim one")
    return row


def _held(connection: sqlite3.Connection, task_id: int, person: str) -> None:
    # A lapsed lease that nobody has taken over is still good: no work is thrown away.
    row = _row(connection, task_id)
    if row["state"] != "leased" or row["assignee"] != person:
        raise LeaseLost(
            f"the task {task_id} is {row['state']}, and not leased to this person: its "
            "masks are stored; claim another task"
        )


def _task(row: sqlite3.Row) -> Task:
    names = [field.name for field in dataclasses.fields(Task)]
    return Task(**{name: row[name] for name in names})
