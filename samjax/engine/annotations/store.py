"""Annotations of images: every write is one transaction, and no change is overwritten.

Every write takes the next value of one counter as the `revision` of the row it wrote. A
change names the revision that its author saw, and is refused if there is a newer one; a
client keeps up to date by reading the rows above the last revision it has. Deletion marks
a row, so that it can be restored. The former values of every row are kept, so that all
annotations can be read as they were at any revision.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samjax.engine.annotations.clock import Clock, stored_time, utc_now
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.encoded_mask import EncodedMask
from samjax.engine.annotations.errors import UuidTaken
from samjax.engine.annotations.history import former_rows, rename_person, rows_at
from samjax.engine.annotations.rows import (
    Stored,
    check_revision,
    existing_row,
    field_columns,
    mask_columns,
    next_revision,
    row_by_id,
    stored,
    update_row,
)
from samjax.engine.sources import PROPOSED, REJECTED, is_open

_MOST_LABELS = 1000
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

    def __init__(self, path: Path, now: Clock = utc_now):
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
        time = stored_time(self._now())
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
                "revision": next_revision(write),
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
            return stored(row_by_id(write, cursor.lastrowid or 0)), True

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
            row = existing_row(write, annotation_id)
            check_revision(row, revision)
            columns = {
                **field_columns(fields),
                **(mask_columns(mask) if mask else {}),
                "revision": next_revision(write),
                "changed": stored_time(self._now()),
            }
            update_row(write, annotation_id, columns)
            return stored(row_by_id(write, annotation_id))

    def delete(
        self, annotation_id: int, revision: int, author: str | None = None
    ) -> None:
        """Marks an annotation as deleted; a deleted one stays as it is.

        A proposal that nobody has touched is thereby rejected, and gets that source.

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
            row = row_by_id(write, annotation_id)
            if row["deleted"]:
                return
            check_revision(row, revision)
            source = REJECTED if is_open(dict(row)) else None
            self._mark(write, annotation_id, 1, author, source)

    def withdraw(self, annotation_id: int, revision: int) -> None:
        """Marks a proposal as deleted that nobody has decided on, for a newer model's.

        Args:
            annotation_id: Id of the proposal.
            revision: The revision that the deletion is based on.

        Raises:
            UnknownAnnotation: No annotation has this id.
            RevisionConflict: A person has taken or rejected it.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            check_revision(row_by_id(write, annotation_id), revision)
            self._mark(write, annotation_id, 1)

    def restore(self, annotation_id: int, author: str | None = None) -> Stored:
        """Reverts a deletion; an annotation that is not deleted stays as it is.

        A rejected proposal is one again that nobody has decided on.

        Args:
            annotation_id: Id of the annotation.
            author: Author of the version that is restored; None keeps the author.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.writing() as write:
            row = row_by_id(write, annotation_id)
            if row["deleted"]:
                source = PROPOSED if row["source"] == REJECTED else None
                self._mark(write, annotation_id, 0, author, source)
            return stored(row_by_id(write, annotation_id))

    def get(self, annotation_id: int) -> Stored:
        """Returns an annotation.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DeletedAnnotation: It was deleted.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            return stored(existing_row(connection, annotation_id))

    def place(self, annotation_id: int) -> tuple[str, int]:
        """Returns the image and the layer of an annotation, also of a deleted one.

        Raises:
            UnknownAnnotation: No annotation has this id.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            row = row_by_id(connection, annotation_id)
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

    def rejected(self, image: str) -> list[Stored]:
        """Returns the proposals of an image that people have rejected."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT * FROM annotations WHERE image = ? AND layer = 0 "
                "AND deleted = 1 AND source = ? ORDER BY id",
                (image, REJECTED),
            ).fetchall()
        return [stored(row) for row in rows]

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
            present = row_by_id(read, annotation_id)
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

    def _mark(
        self,
        write: sqlite3.Connection,
        annotation_id: int,
        deleted: int,
        author: str | None = None,
        source: str | None = None,
    ) -> None:
        columns = {
            **({} if author is None else {"author": author}),
            **({} if source is None else {"source": source}),
            "deleted": deleted,
            "revision": next_revision(write),
            "changed": stored_time(self._now()),
        }
        update_row(write, annotation_id, columns)
