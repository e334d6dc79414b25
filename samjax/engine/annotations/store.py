"""Annotations of images: every write is one transaction, and no change is overwritten.

Every write takes the next value of one counter as the `revision` of the row it wrote. A
change names the revision that its author saw, and is refused if there is a newer one; a
client keeps up to date by reading the rows above the last revision it has. Deletion marks
a row, so that it can be restored. The former values of every row are kept, so that all
annotations can be read as they were at any revision.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samjax.engine.annotations.database import Database
from samjax.engine.annotations.encoded_mask import EncodedMask
from samjax.engine.annotations.errors import (
    DeletedAnnotation,
    RevisionConflict,
    UnknownAnnotation,
    UuidTaken,
)
from samjax.engine.annotations.history import former_rows, rename_person, rows_at
from samjax.engine.annotations.rows import (
    Stored,
    field_columns,
    mask_columns,
    stored,
)

_MOST_LABELS = 1000
# SQLite's integers have 64 bits with sign, and its driver raises OverflowError beyond.
_ID_END = 1 << 63
# Well below the number of parameters that any SQLite takes in one statement (999).
_NAMES_AT_A_TIME = 500


class AnnotationStore:
    """The annotations of images, in an SQLite file.

    Threads may share a store, and processes may share the file. Writes that SQLite fails
    to carry out, as on a full disk, raise `sqlite3.Error`.

    Args:
        path: The file; created if missing.
        now: Clock for the times of creation and change.

    Raises:
        ValueError: The file is not such a database, or has a newer version.
        OSError: It cannot be written.
    """

    def __init__(
        self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ):
        self._database = Database(path)
        self._now = now

    @property
    def database(self) -> Database:
        """The database, which the queue of tasks shares."""
        return self._database

    def add(
        self,
        image: str,
        uuid: str,
        mask: EncodedMask,
        fields: Mapping[str, Any],
        layer: int = 0,
    ) -> tuple[Stored, bool]:
        """Stores an annotation. It is on the disk when this returns.

        Args:
            image: Name of the image.
            uuid: Chosen by the client, so that a request sent twice stores one row.
            mask: The mask.
            fields: `label`, `prompts` (any JSON value), `score`, `stability_score`,
                `source`, `edited`, `level`, `seconds` (time spent), `author`, `order`
                (masks are listed by it); scores, `level` and `order` may be None. Those
                of the data engine may be left out: `stage` (1), `round` (0), `model`
                (fingerprint of the weights), `active_seconds`, `clicks`, `strokes` and
                `undos` (None: not counted).
            layer: 0 for the image's own masks; the id of a task whose masks are apart.

        Returns:
            The annotation, and whether it is new.

        Raises:
            UuidTaken: A mask of another image, or a deleted one, has the uuid.
            DatabaseReplaced: The file is not the one that was opened.
        """
        time = self._time()
        with self._database.writing() as write:
            row = write.execute(
                "SELECT * FROM annotations WHERE uuid = ?", (uuid,)
            ).fetchone()
            if row is not None:
                place = (row["image"], row["layer"])
                if place != (image, layer) or row["deleted"]:
                    raise UuidTaken(
                        f"the uuid {uuid} is that of a mask that was deleted or is of "
                        "another image: restore that one, or make a new uuid"
                    )
                return stored(row), False
            columns = {
                "uuid": uuid,
                "image": image,
                "layer": layer,
                "revision": _next_revision(write),
                "created": time,
                "changed": time,
                **mask_columns(mask),
                **field_columns(fields),
            }
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            cursor = write.execute(
                f"INSERT INTO annotations ({names}) VALUES ({marks})",
                list(columns.values()),
            )
            return stored(_row(write, cursor.lastrowid or 0)), True

    def change(
        self,
        annotation_id: int,
        revision: int,
        fields: Mapping[str, Any],
        mask: EncodedMask | None = None,
    ) -> Stored:
        """Changes some fields of an annotation, and its mask if one is given.

        Args:
            annotation_id: Id of the annotation.
            revision: The revision that the change is based on.
            fields: New values, of the fields of `add`.
            mask: New mask; None keeps the old one.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DeletedAnnotation: It was deleted.
            RevisionConflict: It has another revision by now.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            row = _existing(write, annotation_id)
            _check_revision(row, revision)
            columns = {
                **field_columns(fields),
                **(mask_columns(mask) if mask else {}),
                "revision": _next_revision(write),
                "changed": self._time(),
            }
            _update(write, annotation_id, columns)
            return stored(_row(write, annotation_id))

    def delete(
        self, annotation_id: int, revision: int, author: str | None = None
    ) -> None:
        """Marks an annotation as deleted; a deleted one stays as it is.

        Args:
            annotation_id: Id of the annotation.
            revision: The revision that the deletion is based on.
            author: Author of the version that is deleted; None keeps the author.

        Raises:
            UnknownAnnotation: No annotation has this id.
            RevisionConflict: It has another revision by now.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            row = _row(write, annotation_id)
            if row["deleted"]:
                return
            _check_revision(row, revision)
            self._mark(write, annotation_id, 1, author)

    def restore(self, annotation_id: int, author: str | None = None) -> Stored:
        """Reverts a deletion; an annotation that is not deleted stays as it is.

        Args:
            annotation_id: Id of the annotation.
            author: Author of the version that is restored; None keeps the author.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            if _row(write, annotation_id)["deleted"]:
                self._mark(write, annotation_id, 0, author)
            return stored(_row(write, annotation_id))

    def get(self, annotation_id: int) -> Stored:
        """Returns an annotation.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DeletedAnnotation: It was deleted.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            return stored(_existing(connection, annotation_id))

    def place(self, annotation_id: int) -> tuple[str, int]:
        """Returns the image and the layer of an annotation, also of a deleted one.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            row = _row(connection, annotation_id)
        return row["image"], row["layer"]

    def changes(
        self, image: str, since: int = 0, layer: int = 0
    ) -> tuple[int, list[Stored], list[int]]:
        """Returns the annotations of an image that changed after a revision.

        Args:
            image: Name of the image.
            since: The revision; 0 selects all annotations.
            layer: Layer of the annotations.

        Returns:
            The newest revision of the database; the annotations, from the lowest `order`
            to the highest; and the ids of those that were deleted.
        """
        # Both statements in one transaction: a client that continues from the returned
        # revision would miss a write between them.
        with self._database.reading() as read:
            revision = read.execute("SELECT revision FROM counter").fetchone()[0]
            rows = read.execute(
                "SELECT * FROM annotations WHERE image = ? AND revision > ? "
                "AND layer = ? ORDER BY COALESCE(place, id), id",
                (image, since, layer),
            ).fetchall()
        kept = [stored(row) for row in rows if not row["deleted"]]
        return revision, kept, [row["id"] for row in rows if row["deleted"]]

    def counts(
        self, images: Sequence[str], layers: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Returns the number of annotations by image; images without any are left out.

        Args:
            images: Names of images.
            layers: Layer of an image's annotations by its name, where it is not 0.
        """
        counts: dict[str, int] = {}
        with self._database.connection() as connection:
            for first in range(0, len(images), _NAMES_AT_A_TIME):
                names = images[first : first + _NAMES_AT_A_TIME]
                marks = ", ".join("?" * len(names))
                rows = connection.execute(
                    "SELECT image, layer, COUNT(*) FROM annotations WHERE deleted = 0 "
                    f"AND image IN ({marks}) GROUP BY image, layer",
                    list(names),
                ).fetchall()
                for image, layer, count in rows:
                    if layer == (layers or {}).get(image, 0):
                        counts[image] = count
        return counts

    def annotated(self) -> list[str]:
        """Returns the names of all images that have annotations."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT DISTINCT image FROM annotations WHERE deleted = 0 AND layer = 0"
            )
            return [row["image"] for row in rows]

    def labels(self) -> list[str]:
        """Returns the labels in use, by descending frequency."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT label FROM annotations WHERE deleted = 0 AND label != '' "
                "GROUP BY label ORDER BY COUNT(*) DESC, label LIMIT ?",
                (_MOST_LABELS,),
            )
            return [row["label"] for row in rows]

    def history(self, annotation_id: int) -> list[Stored]:
        """Returns all versions of an annotation, the present one last.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.reading() as read:
            present = _row(read, annotation_id)
            former = former_rows(read, annotation_id)
        return [stored(row) for row in (*former, present)]

    def snapshot(self, revision: int | None = None) -> tuple[int, list[Stored]]:
        """Returns the annotations of all images as they were at a revision.

        Args:
            revision: The revision; by default the newest.

        Returns:
            The revision, and the annotations that were not deleted then, by image.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.reading() as read:
            newest = read.execute("SELECT revision FROM counter").fetchone()[0]
            at = newest if revision is None else min(revision, newest)
            rows = rows_at(read, at)
        return at, [stored(row) for row in rows]

    def rename_author(self, name: str, new_name: str) -> None:
        """Replaces a person's name everywhere, the history and the tasks included.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            rename_person(write, name, new_name)

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._database.close()

    def _time(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    def _mark(
        self,
        write: sqlite3.Connection,
        annotation_id: int,
        deleted: int,
        author: str | None,
    ) -> None:
        columns = {
            **({} if author is None else {"author": author}),
            "deleted": deleted,
            "revision": _next_revision(write),
            "changed": self._time(),
        }
        _update(write, annotation_id, columns)


def _next_revision(write: sqlite3.Connection) -> int:
    write.execute("UPDATE counter SET revision = revision + 1")
    return write.execute("SELECT revision FROM counter").fetchone()[0]


def _row(connection: sqlite3.Connection, annotation_id: int) -> sqlite3.Row:
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


def _existing(connection: sqlite3.Connection, annotation_id: int) -> sqlite3.Row:
    row = _row(connection, annotation_id)
    if row["deleted"]:
        raise DeletedAnnotation(
            f"the annotation {annotation_id} was deleted: restore it first"
        )
    return row


def _check_revision(row: sqlite3.Row, revision: int) -> None:
    if row["revision"] != revision:
        raise RevisionConflict(
            f"got revision {revision} of the annotation {row['id']}, expected "
            f"{row['revision']}: somebody changed it meanwhile; see what it is now",
            stored(row),
        )


def _update(
    write: sqlite3.Connection, annotation_id: int, columns: Mapping[str, Any]
) -> None:
    settings = ", ".join(f"{name} = ?" for name in columns)
    write.execute(
        f"UPDATE annotations SET {settings} WHERE id = ?",
        [*columns.values(), annotation_id],
    )
