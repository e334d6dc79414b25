"""The queue of a team: gold images, images annotated twice, and reviews.

Gold images, whose masks are trusted, are handed out among the others; nobody can tell
them by their task or their proposals. A share of the images is handed out twice, for the
agreement between people. Finished images are reviewed by another person, who accepts or
returns them; what the reviewer changed is a new version of the masks, and the verdict is
then `fixed`.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from samjax.engine.annotations.clock import Clock, stored_time, utc_now
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.mask_reviews import count_returned
from samjax.engine.annotations.proposed_layers import fill_layer
from samjax.engine.annotations.task_rows import (
    Task,
    TaskKind,
    first_priority,
    held,
    insert_tasks,
    new_task_id,
    open_tasks,
    row_of,
    task_of,
)
from samjax.engine.annotations.tasks import LEASE_SECONDS, TaskQueue

Verdict = Literal["accepted", "returned"]

# Seconds for which a returned task waits for the person who made it.
RESERVED = 86400.0

# Last reviews of a person that the share of reviews depends on.
_RECENT = 50


@dataclass(frozen=True, kw_only=True)
class TeamRules:
    """Shares of a team's work, from 0 to 1.

    Attributes:
        review: Share of the finished images that are reviewed.
        least_review: Share to which that of a person falls with accepted images.
        agreement: Share of the images that are handed out twice.
        gold: Share of the handed out images that are gold.
        gold_images: Names of the images with trusted masks.
        seed: Seed of the choices.
    """

    review: float = 1.0
    least_review: float = 1.0
    agreement: float = 0.0
    gold: float = 0.0
    gold_images: tuple[str, ...] = ()
    seed: int = 0

    def takes(self, share: float, *key: object) -> bool:
        """Whether a thing is among a share, always the same for the same key."""
        text = "\0".join(map(str, (self.seed, *key)))
        digest = hashlib.sha256(text.encode()).digest()
        return int.from_bytes(digest[:6]) < share * (1 << 48)

    def review_share(self, reviewed: int, accepted: int) -> float:
        """Returns the share of a person's images that are reviewed.

        It falls from `review` to `least_review` with the probability that the next image
        is not accepted as it is, by Laplace's rule of succession; above one half,
        as for a new person, nothing falls.

        Args:
            reviewed: Number of the person's images that were reviewed lately.
            accepted: Number of those that were accepted as they were.
        """
        least = min(self.least_review, self.review)
        faulty = (reviewed - accepted + 1) / (reviewed + 2)
        return least + (self.review - least) * min(1.0, 2 * faulty)


class ReviewTimes(NamedTuple):
    """Time that a review took, in seconds; None where nobody counted.

    Attributes:
        seconds: From the opening of the image to the verdict, while the page was shown.
        active_seconds: Of them, without long pauses between two inputs.
    """

    seconds: float | None
    active_seconds: float | None


class TeamQueue(TaskQueue):
    """The tasks of a team.

    Args:
        database: The database.
        rules: Shares of reviews, of images handed out twice, and of gold images.
        now: Clock.
        lease_seconds: Length of a lease.
    """

    def __init__(
        self,
        database: Database,
        rules: TeamRules,
        now: Clock = utc_now,
        lease_seconds: float = LEASE_SECONDS,
    ):
        super().__init__(database, now, lease_seconds)
        self._rules = rules

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

        Gold images are left out: their tasks are made when they are handed out.

        Args:
            images: Names of images.
            kind: Kind of the tasks.
            round: Round of the data engine.
            priority: Priority of all of them.
            seed: Seed of the random order in which they are claimed; None keeps the
                given order.

        Returns:
            The number of images with new tasks.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        gold = set(self._rules.gold_images)
        work = (name for name in images if name not in gold)
        return super().add(work, kind, round=round, priority=priority, seed=seed)

    def review(
        self,
        task_id: int,
        person: str,
        verdict: Verdict,
        note: str = "",
        times: ReviewTimes | None = None,
    ) -> Task:
        """Ends a person's task to verify with a verdict.

        A returned image goes back to the person who made it, before all other tasks. An
        accepted one whose masks the reviewer changed is recorded as fixed. A verdict sent
        twice is no error, and the first one counts.

        Args:
            task_id: Id of the task to verify.
            person: The reviewer, who holds its lease.
            verdict: `accepted` or `returned`.
            note: For the person who made the masks; required for `returned`.
            times: Time that the review took; None where nobody counted.

        Raises:
            ValueError: The note is missing, the task is of another kind, or masks of an
                accepted image are returned.
            UnknownTask: No task has this id.
            LeaseLost: The task belongs to somebody else by now, or was finished.
            DatabaseReplaced: The file is not the one that was opened.
        """
        if verdict == "returned" and not note.strip():
            raise ValueError("got no note for an image that is returned: expected why")
        with self._database.writing() as write:
            row = row_of(write, task_id)
            if (row["state"], row["assignee"]) == ("done", person):
                return task_of(row)
            held(write, task_id, person)
            if row["kind"] != "verify":
                raise ValueError(
                    f"got the task {task_id} to {row['kind']}, expected one to verify"
                )
            if verdict == "accepted" and (count := count_returned(write, task_id)):
                raise ValueError(
                    f"got accepted for an image of which {count} masks are returned: "
                    "return it, or take those verdicts back"
                )
            made = _subject(write, row)
            recorded = "fixed" if _was_fixed(write, row) else "accepted"
            if verdict == "returned":
                recorded = "returned"
                self._return(write, made, note)
            write.execute(
                "INSERT INTO reviews (task, image, round, annotator, reviewer, verdict, "
                "note, created, seconds, active_seconds) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(0 if made is None else made["id"], row["image"], row["round"]),
                    "" if made is None else made["assignee"] or "",
                    *(person, recorded, note, stored_time(self._now())),
                    *(times or ReviewTimes(None, None)),
                ),
            )
            columns = {"state": "done", "note": note, "lease_until": None}
            return self._update(write, task_id, columns)

    def layers(self, person: str, image: str | None = None) -> dict[str, int]:
        """Returns the layers of a person's masks by image, for the images of their tasks.

        Args:
            person: Name of the person.
            image: Name of the only image to return; None for all.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT image, layer FROM tasks WHERE assignee = ? "
                "AND (image = ? OR ? IS NULL) AND state <> 'open' "
                # The last one counts: the task that the person has now.
                "ORDER BY state = 'leased', changed",
                (person, image, image),
            ).fetchall()
        return {row["image"]: row["layer"] for row in rows}

    def task_on(self, person: str, image: str) -> Task | None:
        """Returns the task that a person has or had last on an image; None for none.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT * FROM tasks WHERE assignee = ? AND image = ? "
                "AND state <> 'open' ORDER BY state = 'leased' DESC, changed DESC",
                (person, image),
            ).fetchone()
        return None if row is None else task_of(row)

    def is_under_review(self, task_id: int) -> bool:
        """Whether a reviewer has, or has accepted, what was made in a finished task.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT v.state FROM tasks v JOIN tasks t ON t.id = v.subject "
                "WHERE t.id = ? AND t.state = 'done' ORDER BY v.place DESC",
                (task_id,),
            ).fetchone()
        return row is not None and row["state"] in ("leased", "done")

    def next_gold(self, person: str) -> str | None:
        """Returns the gold image that a person gets next, to embed it before.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            return self._gold(connection, person)

    def _next(
        self,
        write: sqlite3.Connection,
        person: str,
        kinds: Sequence[TaskKind],
        now: float,
    ) -> sqlite3.Row | None:
        row = open_tasks(write, person, kinds, now).fetchone()
        # A returned task first. Without another task a gold one would be the last.
        if row is None or row["kind"] != "annotate" or row["assignee"] == person:
            return row
        count = write.execute(
            "SELECT COUNT(*) FROM tasks WHERE assignee = ? AND kind = 'annotate'",
            (person,),
        ).fetchone()[0]
        if not self._rules.takes(self._rules.gold, "gold", person, count):
            return row
        image = self._gold(write, person)
        if image is None:
            return row
        number, time = new_task_id(), stored_time(self._now())
        task = {"image": image, "kind": "annotate", "round": row["round"]}
        task |= {"id": number, "layer": number, "purpose": "gold"}
        insert_tasks(write, [task | {"created": time, "changed": time}])
        return row_of(write, number)

    def _claimed(self, write: sqlite3.Connection, row: sqlite3.Row) -> None:
        if row["layer"]:
            fill_layer(write, row["image"], row["layer"], row["purpose"])

    def _gold(self, connection: sqlite3.Connection, person: str) -> str | None:
        rows = connection.execute(
            "SELECT image FROM tasks WHERE assignee = ? AND purpose = 'gold'", (person,)
        )
        had = {row["image"] for row in rows}
        left = [name for name in self._rules.gold_images if name not in had]
        # Everybody has an order of their own: people next to each other may compare.
        key = (self._rules.seed, person)
        return min(left, key=lambda name: _digest(*key, name), default=None)

    def _added(
        self,
        write: sqlite3.Connection,
        images: Sequence[str],
        shared: Mapping[str, Any],
    ) -> None:
        if shared["kind"] != "annotate":
            return
        again = []
        for image in images:
            key = ("agreement", shared["round"], image)
            if self._rules.takes(self._rules.agreement, *key):
                number = new_task_id()
                task = {"id": number, "image": image, "layer": number}
                again.append(task | {"purpose": "agreement", **shared})
        insert_tasks(write, again)
        # Among the others, rather than all at the end.
        for number, task in enumerate(again):
            place = (
                "SELECT place FROM tasks WHERE image = ? AND layer = 0 AND round = ?"
            )
            write.execute(
                f"UPDATE tasks SET place = ({place}) + ? WHERE id = ?",
                (task["image"], task["round"], 1.5 + number % 3, task["id"]),
            )

    def _finished(self, write: sqlite3.Connection, task: Task) -> None:
        if task.kind == "verify" and task.state == "done":
            raise ValueError(
                "got the end of a task to verify, expected a verdict: review it"
            )
        is_work = task.kind == "annotate" and task.purpose == "work"
        if not is_work or task.state != "done":
            return
        verdicts = write.execute(
            "SELECT verdict FROM reviews WHERE annotator = ? ORDER BY id DESC LIMIT ?",
            (task.assignee, _RECENT),
        ).fetchall()
        accepted = sum(row["verdict"] == "accepted" for row in verdicts)
        share = self._rules.review_share(len(verdicts), accepted)
        # What was returned is looked at again.
        was_reviewed = write.execute(
            "SELECT 1 FROM tasks WHERE subject = ?", (task.id,)
        ).fetchone()
        is_taken = self._rules.takes(share, "review", task.round, task.image)
        if not is_taken and was_reviewed is None:
            return
        time = stored_time(self._now())
        verify = {"image": task.image, "kind": "verify", "round": task.round}
        verify |= {"subject": task.id, "created": time, "changed": time}
        insert_tasks(write, [verify])

    def _return(
        self, write: sqlite3.Connection, made: sqlite3.Row | None, note: str
    ) -> None:
        if made is None:
            return
        columns = {
            "state": "open",
            "note": note,
            "lease_until": self._now().timestamp() + RESERVED,
            "priority": first_priority(write),
        }
        self._update(write, made["id"], columns)


def _subject(write: sqlite3.Connection, row: sqlite3.Row) -> sqlite3.Row | None:
    """Returns the task that is verified; None for one that nobody made in the queue."""
    if row["subject"] is None:
        return None
    return write.execute(
        "SELECT * FROM tasks WHERE id = ?", (row["subject"],)
    ).fetchone()


def _was_fixed(write: sqlite3.Connection, row: sqlite3.Row) -> bool:
    """Returns whether the reviewer changed masks of the image since they claimed it."""
    found = write.execute(
        "SELECT 1 FROM annotations WHERE image = ? AND layer = 0 AND author = ? "
        "AND revision > ?",
        (row["image"], row["assignee"], row["revision"] or 0),
    ).fetchone()
    return found is not None


def _digest(*key: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, key)).encode()).digest()
