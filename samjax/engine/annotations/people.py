"""The people of a team: names, roles and tokens.

A token is shown once, when it is made; the database has its SHA-256. Tokens have 256
random bits, so that a salt or a slow hash would add nothing.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from samjax.engine.annotations.clock import Clock, stored_time, utc_now
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.history import rename_person

Role = Literal["annotator", "reviewer", "owner"]

ROLES: tuple[Role, ...] = ("annotator", "reviewer", "owner")
"""Roles, each with the rights of those before it."""

_LONGEST_NAME = 100
_PSEUDONYM = re.compile(r"(person|other)-\d+")


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person of a team.

    Attributes:
        name: The name; of a person who was removed, the pseudonym.
        role: `annotator`, `reviewer` or `owner`.
        pseudonym: The name in exports: `person-1` and so on.
        is_removed: Whether the name was deleted, and the token with it.
    """

    name: str
    role: Role
    pseudonym: str
    is_removed: bool

    def may(self, least: Role) -> bool:
        """Whether the person has a role or one with more rights."""
        return ROLES.index(self.role) >= ROLES.index(least)


class People:
    """The people of an annotation database.

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

    def add(self, name: str, role: Role) -> str:
        """Adds a person.

        Returns:
            The token, which is stored nowhere.

        Raises:
            ValueError: The name is taken, or is none.
            DatabaseReplaced: The file is not the one that was opened.
        """
        name = _checked(name)
        token, created = _new_token(), stored_time(self._now())
        with self._database.writing() as write:
            if _row(write, name) is not None:
                raise ValueError(
                    f"got the name {name!r}, which a person has: take another, or make "
                    "a new token for this one"
                )
            write.execute(
                "INSERT INTO people (name, role, token, created) VALUES (?, ?, ?, ?)",
                (name, role, token_hash(token), created),
            )
        return token

    def renew(self, name: str) -> str:
        """Gives a person a new token; the old one is no longer valid.

        Returns:
            The token, which is stored nowhere.

        Raises:
            ValueError: Nobody has this name.
            DatabaseReplaced: The file is not the one that was opened.
        """
        token = _new_token()
        with self._database.writing() as write:
            _known(write, name)
            write.execute(
                "UPDATE people SET token = ? WHERE name = ?", (token_hash(token), name)
            )
        return token

    def remove(self, name: str) -> str:
        """Deletes a name everywhere, and the token; the work keeps a pseudonym.

        The bytes of the name are overwritten in the file.

        Returns:
            The pseudonym.

        Raises:
            ValueError: Nobody has this name.
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._database.erasing() as write:
            pseudonym = _known(write, name).pseudonym
            rename_person(write, name, pseudonym)
            write.execute(
                "UPDATE people SET name = ?, token = NULL WHERE name = ?",
                (pseudonym, name),
            )
            # What they had leased is open again.
            write.execute(
                "UPDATE tasks SET state = 'open', assignee = NULL, lease_until = NULL "
                "WHERE assignee = ? AND state IN ('open', 'leased') "
                "AND purpose <> 'gold'",
                (pseudonym,),
            )
        return pseudonym

    def all(self) -> list[Person]:
        """Returns all people, in the order in which they were added."""
        return [person for _, person in self.hashes()]

    def hashes(self) -> list[tuple[str, Person]]:
        """Returns all people with the hashes of their tokens; empty for none."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT * FROM people ORDER BY id").fetchall()
        return [(row["token"] or "", _person(row)) for row in rows]

    def pseudonyms(self) -> dict[str, str]:
        """Returns the pseudonyms of all names in the database.

        Names of nobody in the team become `other-1` and so on.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT author AS name FROM annotations UNION "
                "SELECT assignee FROM tasks WHERE assignee NOT NULL ORDER BY name"
            ).fetchall()
        known = {person.name: person.pseudonym for person in self.all()}
        others = [row["name"] for row in rows if row["name"] not in {"", *known}]
        return {"": "", **known} | {
            name: f"other-{n}" for n, name in enumerate(others, 1)
        }


def token_hash(token: str) -> str:
    """Returns the SHA-256 of a token, in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def find_person(token: str, hashes: Iterable[tuple[str, Person]]) -> Person | None:
    """Returns the person of a token, in a time that does not depend on the token."""
    given, found = token_hash(token), None
    for own, person in hashes:
        if hmac.compare_digest(given, own) and not person.is_removed:
            found = person
    return found


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"got the name {name[:20]!r}, expected 1 to {_LONGEST_NAME} printable "
            "characters"
        )
    if _PSEUDONYM.fullmatch(name):
        raise ValueError(
            f"got the name {name!r}, which is a pseudonym's: take another name"
        )
    return name


def _row(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    return connection.execute("SELECT * FROM people WHERE name = ?", (name,)).fetchone()


def _known(connection: sqlite3.Connection, name: str) -> Person:
    row = _row(connection, name)
    if row is None or row["token"] is None:
        names = connection.execute("SELECT name FROM people WHERE token NOT NULL")
        listed = ", ".join(sorted(row["name"] for row in names)) or "nobody yet"
        raise ValueError(
            f"got the name {name!r}, expected one of the team's people: {listed}"
        )
    return _person(row)


def _person(row: sqlite3.Row) -> Person:
    return Person(
        name=row["name"],
        role=row["role"],
        pseudonym=f"person-{row['id']}",
        is_removed=row["token"] is None,
    )
