"""Whose turn it is: what people wait for, then long work bit by bit, then guesses.

Plain data, without threads: `worker` holds a lock around it.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
J = TypeVar("J")

# Beyond these more waiting helps nobody.
MOST_ASKED = 256
MOST_FORESEEN = 64


@dataclass(frozen=True)
class Turn:
    """What is to be done next: an image is to be embedded, or a job advanced."""

    kind: Literal["image", "job"]
    key: str
    what: Any


class Turns(Generic[T, J]):
    """Images that wait for the model, by key, and jobs that take it in turns.

    Images that were asked for come first, in their order. Jobs give way to them, and
    come before images that were only foreseen to be asked for. Of these the newest come
    first, as what is near where somebody works now, and the oldest are forgotten when
    there are too many.
    """

    def __init__(self):
        self._asked: dict[str, T] = {}
        self._foreseen: dict[str, T] = {}
        self._jobs: deque[tuple[str, J]] = deque()

    def ask(self, key: str, image: T) -> bool:
        """Adds an image that somebody waits for; False if there are too many."""
        self._foreseen.pop(key, None)
        if key not in self._asked:
            if len(self._asked) >= MOST_ASKED:
                return False
            self._asked[key] = image
        return True

    def foresee(self, key: str, image: T) -> None:
        """Adds an image that somebody may ask for, unless it waits already."""
        if key in self._asked:
            return
        self._foreseen.pop(key, None)
        self._foreseen[key] = image
        while len(self._foreseen) > MOST_FORESEEN:
            del self._foreseen[next(iter(self._foreseen))]

    def add_job(self, key: str, job: J) -> None:
        """Adds a job, or a job that had its turn, at the end of the jobs."""
        self._jobs.append((key, job))

    def position(self, key: str) -> int | None:
        """How many images are before one; None if it does not wait."""
        order = [*self._asked, *reversed(self._foreseen)]
        return order.index(key) if key in order else None

    def take(self) -> Turn | None:
        """Removes and returns what is next, if anything is."""
        if self._asked:
            key = next(iter(self._asked))
            return Turn("image", key, self._asked.pop(key))
        if self._jobs:
            key, job = self._jobs.popleft()
            return Turn("job", key, job)
        if self._foreseen:
            return Turn("image", *self._foreseen.popitem())
        return None
