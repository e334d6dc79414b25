"""Order of the model's work: requested embeddings, steps of jobs, prefetched embeddings.

A plain data structure; `worker` guards it with a lock.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
J = TypeVar("J")

# Bounds of the queue: beyond them clients retry, or the oldest guess is dropped.
MOST_REQUESTED = 256
MOST_PREFETCHED = 64


@dataclass(frozen=True)
class WorkItem:
    """An image to embed, or a job to advance by one step."""

    kind: Literal["image", "job"]
    key: str
    work: Any


class WorkQueue(Generic[T, J]):
    """Images waiting for the encoder, by key, and jobs of everything mode.

    Requested images come first, in the order of requests; then jobs, round robin; then
    prefetched images. Of the prefetched the newest come first, since they are closest to
    the image that a user looks at now, and the oldest are dropped above a bound.
    """

    def __init__(self):
        self._requested: dict[str, T] = {}
        self._prefetched: dict[str, T] = {}
        self._jobs: deque[tuple[str, J]] = deque()

    def request(self, key: str, image: T) -> bool:
        """Adds an image that a client waits for; False if there are too many."""
        self._prefetched.pop(key, None)
        if key not in self._requested:
            if len(self._requested) >= MOST_REQUESTED:
                return False
            self._requested[key] = image
        return True

    def prefetch(self, key: str, image: T) -> None:
        """Adds an image that a client may need soon, unless it is requested already."""
        if key in self._requested:
            return
        self._prefetched.pop(key, None)
        self._prefetched[key] = image
        while len(self._prefetched) > MOST_PREFETCHED:
            del self._prefetched[next(iter(self._prefetched))]

    def add_job(self, key: str, job: J) -> None:
        """Adds a job, new or just advanced, behind all other jobs."""
        self._jobs.append((key, job))

    def position(self, key: str) -> int | None:
        """Returns the number of images before a waiting one; None if it is not waiting."""
        order = [*self._requested, *reversed(self._prefetched)]
        return order.index(key) if key in order else None

    def take(self) -> WorkItem | None:
        """Removes and returns the next item; None if the queue is empty."""
        if self._requested:
            key = next(iter(self._requested))
            return WorkItem("image", key, self._requested.pop(key))
        if self._jobs:
            key, job = self._jobs.popleft()
            return WorkItem("job", key, job)
        if self._prefetched:
            return WorkItem("image", *self._prefetched.popitem())
        return None
