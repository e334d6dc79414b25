"""The tokens of a team's people, looked up for every request."""

import threading
import time
from collections.abc import Callable

from samjax.engine.annotations.people import People, Person, find_person

PERSON = "samjax.person"
"""Key of the ASGI scope with the person of the request's token."""

FRESH = 1.0
"""Seconds for which the list of people is reused: how long a removed token still works."""


class Tokens:
    """Finds the person of a token. Threads may share it.

    Args:
        people: The people.
        clock: Seconds from any origin.
    """

    def __init__(self, people: People, clock: Callable[[], float] = time.monotonic):
        self._people = people
        self._clock = clock
        self._lock = threading.Lock()
        self._hashes: list[tuple[str, Person]] = []
        self._read: float | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether `find` does not read the database."""
        return self._read is not None and self._clock() - self._read <= FRESH

    def find(self, token: str) -> Person | None:
        """Returns the person of a token; None if it is nobody's.

        Raises:
            DatabaseReplaced: The file is not the one that was opened.
        """
        with self._lock:
            if not self.is_fresh:
                self._hashes = self._people.hashes()
                self._read = self._clock()
            hashes = self._hashes
        return find_person(token, hashes)
