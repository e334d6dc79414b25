"""Regions of images to blur, drawn by people; a removed one stays in the database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from samjax.engine.annotations.clock import Clock, stored_time, utc_now
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.errors import UnknownRegion, UuidTaken
from samjax.files import json_text

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class DrawnRegion:
    """A region that a person drew.

    Attributes:
        uuid: Its name, chosen by the client.
        image: Name of the image.
        box: Left, top, right, bottom in pixels of the upright image.
        author: Name of the person who drew it.
        created: Time of it, ISO 8601.
    """

    uuid: str
    image: str
    box: Box
    author: str
    created: str


class Regions:
    """The regions of an annotation database.

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
        self, image: str, uuid: str, box: Sequence[float], author: str
    ) -> DrawnRegion:
        """Stores a region. One that was removed is there again, as after an undo.

        Args:
            image: Name of the image.
            uuid: Chosen by the client, so that a request sent twice stores one region.
            box: Left, top, right, bottom in pixels of the upright image.
            author: Name of the person.

        Raises:
            UuidTaken: A region of another image, or of another box, has the uuid.
            DatabaseReplaced: The file is not the one that was opened.
        """
        values = (image, json_text(list(box)))
        with self._database.writing() as write:
            row = write.execute(
                "SELECT * FROM regions WHERE uuid = ?", (uuid,)
            ).fetchone()
            if row is None:
                write.execute(
                    "INSERT INTO regions (uuid, image, box, author, created) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (uuid, *values, author, stored_time(self._now())),
                )
            elif (row["image"], row["box"]) != values:
                raise UuidTaken(
                    f"the uuid {uuid} is that of another region: make a new one"
                )
            else:
                write.execute(
                    "UPDATE regions SET removed = NULL, removed_by = NULL "
                    "WHERE uuid = ?",
                    (uuid,),
                )
            row = write.execute(
                "SELECT * FROM regions WHERE uuid = ?", (uuid,)
            ).fetchone()
        return _region(row)

    def remove(self, uuid: str, person: str) -> None:
        """Removes a region; a removed one stays as it is.

        Args:
            uuid: Name of the region.
            person: Name of the person who removes it.

        Raises:
            UnknownRegion: There is no such region.
            DatabaseReplaced: The file is not the one that was opened.
        """
        self.image(uuid)
        with self._database.writing() as write:
            write.execute(
                "UPDATE regions SET removed = ?, removed_by = ? "
                "WHERE uuid = ? AND removed IS NULL",
                (stored_time(self._now()), person, uuid),
            )

    def image(self, uuid: str) -> str:
        """Returns the name of the image of a region, also of a removed one.

        Raises:
            UnknownRegion: There is no such region.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT image FROM regions WHERE uuid = ?", (uuid,)
            ).fetchone()
        if row is None:
            raise no_region(uuid)
        return row["image"]

    def all(self, image: str | None = None) -> list[DrawnRegion]:
        """Returns the regions that were not removed, in the order of their drawing.

        Args:
            image: Name of the only image; None for all.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT * FROM regions WHERE removed IS NULL "
                "AND (image = ? OR ? IS NULL) ORDER BY rowid",
                (image, image),
            ).fetchall()
        return [_region(row) for row in rows]


def no_region(uuid: str) -> UnknownRegion:
    """Returns the error of a uuid that no region has."""
    return UnknownRegion(
        f"got the region {ascii(uuid)[:80]}, expected a stored one: list those of its "
        "image"
    )


def _region(row: Any) -> DrawnRegion:
    left, top, right, bottom = json.loads(row["box"])
    return DrawnRegion(
        uuid=row["uuid"],
        image=row["image"],
        box=(left, top, right, bottom),
        author=row["author"],
        created=row["created"],
    )
