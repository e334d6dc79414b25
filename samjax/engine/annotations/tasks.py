"""The queue of annotation tasks: images that people claim, one at a time.

A claimed task is leased: it belongs to its person until it is finished or the lease ends.
Every saved mask renews the lease. After its end the task is open again, and the masks that
were made stay.
"""

import random
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from samjax.engine.annotations.clock import Clock, stored_time, utc_now
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.errors import LeaseLost
from samjax.engine.annotations.task_rows import (
    Task,
    TaskKind,
    first_priority,
    held,
    insert_tasks,
    newest_revision,
    open_tasks,
    row_of,
    task_of,
)

LEASE_SECONDS = 1800.0


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
        now: Clock = utc_now,
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
        time = stored_time(self._now())
        with self._database.writing() as write:
            known = {
                row["image"]
                for row in write.execute(
                    "SELECT image FROM tasks WHERE kind = ? AND round = ?",
                    (kind, round),
                )
            }
            new = [name for name in names if name not in known]
            shared = {
                "kind": kind,
                "round": round,
                "priority": priority,
                "created": time,
                "changed": time,
            }
            insert_tasks(write, [{"image": name, **shared} for name in new])
            self._added(write, new, shared)
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
                f"AND lease_until >= ? AND kind IN ({marks}) ORDER BY changed, id",
                (person, now.timestamp(), *kinds),
            ).fetchone()
            if row is None:
                row = self._next(write, person, kinds, now.timestamp())
                if row is None:
                    return None
                self._claimed(write, row)
                columns = {
                    "assignee": person,
                    "attempt": row["attempt"] + 1,
                    "revision": newest_revision(write),
                }
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
            held(write, task_id, person)
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
            row = row_of(write, task_id)
            if (row["state"], row["assignee"]) == (state, person):
                return task_of(row)
            held(write, task_id, person)
            columns = {"state": state, "note": note, "lease_until": None}
            columns["revision"] = newest_revision(write)
            task = self._update(write, task_id, columns)
            self._finished(write, task)
            return task

    def give_back(self, task_id: int, person: str) -> Task:
        """Opens a claimed task again for anybody; a gold one for the same person.

        Raises:
            UnknownTask: No task has this id.
            LeaseLost: The task belongs to somebody else by now, or was finished.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            row = held(write, task_id, person)
            return self._update(write, task_id, _opened(row) | {"lease_until": None})

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
            row = row_of(write, task_id)
            if row["state"] in ("open", "leased"):
                raise LeaseLost(
                    f"the task {task_id} is {row['state']}, expected a finished one: "
                    "wait until it is done"
                )
            columns = {"note": note, "priority": first_priority(write)}
            return self._update(write, task_id, _opened(row) | columns)

    def get(self, task_id: int) -> Task:
        """Returns a task.

        Raises:
            UnknownTask: No task has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            return task_of(row_of(connection, task_id))

    def upcoming(
        self, count: int, kinds: Sequence[TaskKind] = ("annotate",), person: str = ""
    ) -> list[str]:
        """Returns the images of the next tasks, so that they can be embedded before.

        Args:
            count: The most images to return.
            kinds: Kinds of tasks.
            person: Name of the person who would claim them; empty for anybody.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            found = open_tasks(connection, person, kinds, self._now().timestamp())
            return [row["image"] for row in found.fetchmany(count)]

    def open_images(self) -> list[str]:
        """Returns the images with an open task to annotate, in the order of the queue.

        Those that the second of two people has begun are left out.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            now = self._now().timestamp()
            rows = open_tasks(connection, "", ["annotate"], now).fetchall()
            begun = connection.execute(
                "SELECT image, round FROM tasks WHERE layer <> 0 AND attempt > 0"
            ).fetchall()
        taken = {(row["image"], row["round"]) for row in begun}
        return [
            row["image"]
            for row in rows
            if row["layer"] == 0 and (row["image"], row["round"]) not in taken
        ]

    def has(self, person: str, kind: TaskKind) -> bool:
        """Whether a person has a task of a kind, or could claim one.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        now = self._now().timestamp()
        with self._database.connection() as connection:
            leased = connection.execute(
                "SELECT 1 FROM tasks WHERE state = 'leased' AND assignee = ? "
                "AND kind = ?",
                (person, kind),
            ).fetchone()
            if leased is not None:
                return True
            return open_tasks(connection, person, [kind], now).fetchone() is not None

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

    def _next(
        self,
        write: sqlite3.Connection,
        person: str,
        kinds: Sequence[TaskKind],
        now: float,
    ) -> sqlite3.Row | None:
        """Returns the task that a person gets."""
        return open_tasks(write, person, kinds, now).fetchone()

    def _claimed(self, write: sqlite3.Connection, row: sqlite3.Row) -> None:
        """Prepares what a person finds in a task; for teams."""

    def _added(
        self, write: sqlite3.Connection, images: Sequence[str], shared: dict
    ) -> None:
        """Adds what belongs to new tasks; for teams."""

    def _finished(self, write: sqlite3.Connection, task: Task) -> None:
        """Adds what follows a finished task; for teams."""

    def _lease(self, now: datetime) -> dict[str, float]:
        return {"lease_until": now.timestamp() + self._lease_seconds}

    def _update(self, write: sqlite3.Connection, task_id: int, columns: dict) -> Task:
        columns = columns | {"changed": stored_time(self._now())}
        settings = ", ".join(f"{name} = ?" for name in columns)
        write.execute(
            f"UPDATE tasks SET {settings} WHERE id = ?", [*columns.values(), task_id]
        )
        return task_of(row_of(write, task_id))


def _opened(row: sqlite3.Row) -> dict[str, str | None]:
    """Returns the columns of a task that is open again: a gold one is one person's."""
    is_gold = row["purpose"] == "gold"
    return {"state": "open", "assignee": row["assignee"] if is_gold else None}
