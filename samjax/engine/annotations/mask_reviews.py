"""Reviews mask by mask: a reviewer's verdict on one version of a mask.

Every verdict is a row of its own, and none is overwritten: the newest one of a mask
counts, and only for the version that it was on. A mask that was changed since has none.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from samjax.engine.annotations.clock import Clock, stored_time, utc_now
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.errors import UnknownAnnotation
from samjax.engine.annotations.rows import check_revision, existing_row
from samjax.engine.annotations.task_rows import held

MaskVerdict = Literal["accepted", "returned", "open"]

# Others than who has the review see its verdicts once it has ended.
_NEWEST = """
SELECT r.annotation, r.revision, r.verdict, r.note, r.reviewer, r.created
FROM mask_reviews r JOIN tasks t ON t.id = r.task
JOIN annotations a ON a.id = r.annotation
WHERE a.image = :image AND a.layer = 0 AND a.deleted = 0 AND a.revision = r.revision
AND (t.state = 'done' OR t.assignee = :person) AND r.id = (
    SELECT MAX(id) FROM mask_reviews WHERE annotation = r.annotation
) AND r.verdict <> 'open' ORDER BY r.annotation
"""
_RETURNED = """
SELECT COUNT(*) FROM mask_reviews r JOIN annotations a ON a.id = r.annotation
WHERE r.task = ? AND a.deleted = 0 AND a.revision = r.revision
AND r.verdict = 'returned' AND r.id = (
    SELECT MAX(id) FROM mask_reviews WHERE annotation = r.annotation
)
"""


@dataclass(frozen=True, kw_only=True)
class MaskReview:
    """The newest verdict on a mask.

    Attributes:
        annotation: Id of the mask.
        revision: Revision of the version that it is on.
        verdict: `accepted`, `returned`, or `fixed` for a version of the reviewer's own.
        note: For the person who made the mask.
        reviewer: Name of the reviewer.
        created: Time of it, ISO 8601.
    """

    annotation: int
    revision: int
    verdict: str
    note: str
    reviewer: str
    created: str


class MaskReviews:
    """The verdicts on masks in an annotation database.

    Args:
        database: The database.
        now: Clock.
    """

    def __init__(
        self,
        database: Database,
        now: Clock = utc_now,
    ):
        self._database = database
        self._now = now

    def add(
        self,
        task_id: int,
        person: str,
        annotation_id: int,
        revision: int,
        verdict: MaskVerdict,
        note: str = "",
    ) -> None:
        """Stores a verdict.

        Args:
            task_id: Id of the task to verify, which the person has.
            person: Name of the reviewer.
            annotation_id: Id of a mask of its image.
            revision: Revision of the version that was looked at.
            verdict: `accepted`, `returned`, or `open` to take a verdict back.
            note: For the person who made the mask; required for `returned`.

        Raises:
            ValueError: The note is missing, or the task is of another kind.
            UnknownTask: No task has this id.
            LeaseLost: The task belongs to somebody else by now, or was finished.
            UnknownAnnotation: The image has no such mask.
            DeletedAnnotation: It was deleted.
            RevisionConflict: It has another revision by now.
            DatabaseReplaced: The file is not the one that was opened.
        """
        if verdict == "returned" and not note.strip():
            raise ValueError("got no note for a mask that is returned: expected why")
        with self._database.writing() as write:
            task = held(write, task_id, person)
            if task["kind"] != "verify":
                raise ValueError(
                    f"got the task {task_id} to {task['kind']}, expected one to verify"
                )
            row = existing_row(write, annotation_id)
            if (row["image"], row["layer"]) != (task["image"], 0):
                raise UnknownAnnotation(
                    f"got the id {annotation_id}, expected that of a mask of the image "
                    "that is reviewed: list its masks"
                )
            check_revision(row, revision)
            is_own = row["author"] == person and revision > (task["revision"] or 0)
            recorded = "fixed" if verdict == "accepted" and is_own else verdict
            write.execute(
                "INSERT INTO mask_reviews (task, annotation, image, revision, reviewer, "
                "verdict, note, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(task_id, annotation_id, row["image"], revision, person),
                    *(recorded, note.strip(), stored_time(self._now())),
                ),
            )

    def of_image(self, image: str, person: str) -> list[MaskReview]:
        """Returns the newest verdicts on the masks of an image as they are now.

        Args:
            image: Name of the image.
            person: Who asks: of a review that has not ended, only who has it sees them.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            rows: list[Any] = connection.execute(
                _NEWEST, {"image": image, "person": person}
            ).fetchall()
        return [MaskReview(**dict(row)) for row in rows]


def count_returned(connection: sqlite3.Connection, task_id: int) -> int:
    """Returns the number of masks that were returned in a review, and not changed since."""
    return connection.execute(_RETURNED, (task_id,)).fetchone()[0]
