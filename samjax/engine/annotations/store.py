"""The masks that people made: one transaction each, and nobody's work overwritten.

Every write takes the next number of one counter as the `revision` of what it wrote. Who
changes a mask names the revision that they saw, and is refused if there is another by
now; who wants to know what is new asks for what has a higher one. What is deleted
stays, and can be restored.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samjax.engine.annotations.database import Database
from samjax.files import json_text
from samjax.web.folder import image_id
from samjax.web.mask_checks import CheckedMask
from samjax.web.refusals import Refusal, not_found

Stored = dict[str, Any]
"""An annotation in the form of the API."""

_FIELDS = (
    *("label", "prompts", "score", "stability_score", "source", "edited", "level"),
    *("seconds", "author", "order"),
)
# `order` is a word of SQL.
_COLUMNS = {name: "place" if name == "order" else name for name in _FIELDS}
_MOST_LABELS = 1000


class Store:
    """The annotations of a folder's images, in an SQLite file.

    Safe to share between threads, and the file between processes.

    Args:
        path: The file; made if it is not there.
        now: The time of day.

    Raises:
        ValueError: The file is not such a database, or of a newer version.
        OSError: It cannot be written.
    """

    def __init__(
        self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ):
        self._database = Database(path)
        self._now = now

    def add(
        self, image: str, uuid: str, mask: CheckedMask, fields: Mapping[str, Any]
    ) -> tuple[Stored, bool]:
        """Stores a mask. It is on the disk when this returns.

        Args:
            image: The name of its image.
            uuid: Chosen by who made it, so that asking twice stores once.
            mask: The mask.
            fields: All others of the API's `AnnotationIn`.

        Returns:
            The annotation, and whether it is new.

        Raises:
            Refusal: The uuid is taken by another image's mask or a deleted one.
        """
        time = self._time()
        with self._database.writing() as write:
            row = write.execute(
                "SELECT * FROM annotations WHERE uuid = ?", (uuid,)
            ).fetchone()
            if row is not None:
                if row["image"] != image or row["deleted"]:
                    raise Refusal(
                        409,
                        "uuid_taken",
                        f"the uuid {uuid} is that of a mask that was deleted or is of "
                        "another image: restore that one, or make a new uuid",
                    )
                return _stored(row), False
            columns = {
                "uuid": uuid,
                "image": image,
                "revision": _next_revision(write),
                "created": time,
                "changed": time,
                **_mask_columns(mask),
                **_field_columns(fields),
            }
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            cursor = write.execute(
                f"INSERT INTO annotations ({names}) VALUES ({marks})",
                list(columns.values()),
            )
            return _stored(_row(write, cursor.lastrowid or 0)), True

    def change(
        self,
        number: int,
        revision: int,
        fields: Mapping[str, Any],
        mask: CheckedMask | None = None,
    ) -> Stored:
        """Changes fields of an annotation, and its mask if there is one.

        Raises:
            Refusal: It is not there, was deleted, or is not of this revision any more.
        """
        with self._database.writing() as write:
            row = _existing(write, number)
            _check_revision(row, revision)
            columns = {
                **_field_columns(fields),
                **(_mask_columns(mask) if mask else {}),
                "revision": _next_revision(write),
                "changed": self._time(),
            }
            _update(write, number, columns)
            return _stored(_row(write, number))

    def delete(self, number: int, revision: int) -> None:
        """Marks an annotation as deleted; does nothing if it is already.

        Raises:
            Refusal: It is not there, or is not of this revision any more.
        """
        with self._database.writing() as write:
            row = _row(write, number)
            if row["deleted"]:
                return
            _check_revision(row, revision)
            self._mark(write, number, deleted=1)

    def restore(self, number: int) -> Stored:
        """Undoes `delete`; does nothing where there was none.

        Raises:
            Refusal: It is not there.
        """
        with self._database.writing() as write:
            if _row(write, number)["deleted"]:
                self._mark(write, number, deleted=0)
            return _stored(_row(write, number))

    def get(self, number: int) -> Stored:
        """Finds an annotation.

        Raises:
            Refusal: It is not there, or was deleted.
        """
        with self._database.connection() as connection:
            return _stored(_existing(connection, number))

    def changes(
        self, image: str, since: int = 0
    ) -> tuple[int, list[Stored], list[int]]:
        """What of an image changed after a revision; all there is after 0.

        Returns:
            The newest revision there is; the annotations, from the lowest `order` to
            the highest; and the numbers of those that were deleted.
        """
        with self._database.reading() as read:
            revision = read.execute("SELECT revision FROM counter").fetchone()[0]
            rows = read.execute(
                "SELECT * FROM annotations WHERE image = ? AND revision > ? "
                "ORDER BY COALESCE(place, id), id",
                (image, since),
            ).fetchall()
        kept = [_stored(row) for row in rows if not row["deleted"]]
        return revision, kept, [row["id"] for row in rows if row["deleted"]]

    def counts(self, images: Sequence[str]) -> dict[str, int]:
        """How many annotations each image has; those without any may be missing."""
        found: dict[str, int] = {}
        with self._database.connection() as connection:
            # SQLite takes only so many parameters.
            for first in range(0, len(images), 500):
                names = images[first : first + 500]
                marks = ", ".join("?" * len(names))
                found |= connection.execute(
                    "SELECT image, COUNT(*) FROM annotations WHERE deleted = 0 "
                    f"AND image IN ({marks}) GROUP BY image",
                    list(names),
                ).fetchall()
        return found

    def annotated(self) -> list[str]:
        """The names of all images that have annotations."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT DISTINCT image FROM annotations WHERE deleted = 0"
            )
            return [row["image"] for row in rows]

    def labels(self) -> list[str]:
        """The labels in use, the most used first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT label FROM annotations WHERE deleted = 0 AND label != '' "
                "GROUP BY label ORDER BY COUNT(*) DESC, label LIMIT ?",
                (_MOST_LABELS,),
            )
            return [row["label"] for row in rows]

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._database.close()

    def _time(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    def _mark(self, write: sqlite3.Connection, number: int, *, deleted: int) -> None:
        columns = {
            "deleted": deleted,
            "revision": _next_revision(write),
            "changed": self._time(),
        }
        _update(write, number, columns)


def _next_revision(write: sqlite3.Connection) -> int:
    write.execute("UPDATE counter SET revision = revision + 1")
    return write.execute("SELECT revision FROM counter").fetchone()[0]


def _row(connection: sqlite3.Connection, number: int) -> sqlite3.Row:
    row = None
    if number < 1 << 63:
        row = connection.execute(
            "SELECT * FROM annotations WHERE id = ?", (number,)
        ).fetchone()
    if row is None:
        raise not_found("annotation", str(number), "ask for those of its image")
    return row


def _existing(connection: sqlite3.Connection, number: int) -> sqlite3.Row:
    row = _row(connection, number)
    if row["deleted"]:
        raise Refusal(
            404, "deleted", f"the annotation {number} was deleted: restore it first"
        )
    return row


def _check_revision(row: sqlite3.Row, revision: int) -> None:
    if row["revision"] != revision:
        raise Refusal(
            409,
            "changed",
            f"got revision {revision} of the annotation {row['id']}, expected "
            f"{row['revision']}: somebody changed it meanwhile; see what it is now",
            annotation=_stored(row),
        )


def _update(write: sqlite3.Connection, number: int, columns: Mapping[str, Any]) -> None:
    settings = ", ".join(f"{name} = ?" for name in columns)
    write.execute(
        f"UPDATE annotations SET {settings} WHERE id = ?", [*columns.values(), number]
    )


def _mask_columns(mask: CheckedMask) -> dict[str, Any]:
    height, width = mask.size
    return {
        "height": height,
        "width": width,
        "counts": mask.text,
        "area": mask.area,
        "bbox": json_text(mask.bbox),
    }


def _field_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    columns = {_COLUMNS[name]: value for name, value in fields.items()}
    if "prompts" in columns:
        columns["prompts"] = json_text(columns["prompts"])
    return columns


def _stored(row: sqlite3.Row) -> Stored:
    fields = {name: row[column] for name, column in _COLUMNS.items()}
    fields |= {"edited": bool(row["edited"]), "prompts": json.loads(row["prompts"])}
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "image_id": image_id(row["image"]),
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
