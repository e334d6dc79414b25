"""Everything mode as a job: started, watched, cancelled, done step by step."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from samjax.inference.automatic.incremental import Step
from samjax.web.folder import ImageFile
from samjax.web.refusals import busy, not_found

MOST_RUNNING = 8
MOST_KEPT = 16


@dataclass(kw_only=True)
class Job:
    """Everything in one image.

    Attributes:
        id: Hard to guess.
        image: The image.
        steps: Does a bit of the work each time it is advanced.
        started: When, by the clock of the jobs.
        ended: When, or None.
        state: How it is.
        done: Points that were asked about.
        total: Points in all.
        records: What was found, when it is done.
        message: Why it failed.
    """

    id: str
    image: ImageFile
    steps: Iterator[Step]
    started: float
    ended: float | None = None
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    done: int = 0
    total: int
    records: list[Any] | None = None
    message: str | None = None

    def advance(self) -> None:
        """Does a step; sets `state` when it was the last one.

        Raises:
            Exception: The step failed.
        """
        step = next(self.steps)
        self.done = step.done
        if step.records is not None:
            self.records = step.records
            self.end("done")

    def end(
        self, state: Literal["done", "failed", "cancelled"], message: str | None = None
    ) -> None:
        """Makes this the end, unless there was one already."""
        if self.state == "running":
            # State last: whoever sees it finds the rest in place.
            self.message = message
            self.state = state


class Jobs:
    """The jobs of a server: so many that run, and the last ones that ended.

    Args:
        clock: Seconds, of any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    @property
    def running(self) -> int:
        """Number of jobs that have not ended."""
        return sum(job.state == "running" for job in self._jobs.values())

    def start(self, image: ImageFile, steps: Iterator[Step], total: int) -> Job:
        """Adds a job.

        Raises:
            Refusal: Too many run already.
        """
        if self.running >= MOST_RUNNING:
            raise busy(f"{MOST_RUNNING} jobs are running: wait for one, or cancel it")
        job = Job(
            id=secrets.token_urlsafe(12),
            image=image,
            steps=steps,
            started=self._clock(),
            total=total,
        )
        self._jobs[job.id] = job
        ended = [job.id for job in self._jobs.values() if job.state != "running"]
        for old in ended[: max(0, len(ended) - MOST_KEPT)]:
            del self._jobs[old]
        return job

    def get(self, job_id: str) -> Job:
        """Finds a job.

        Raises:
            Refusal: There is none, or it ended long ago.
        """
        if job_id not in self._jobs:
            raise not_found("job", job_id, "it may have ended long ago: start it again")
        return self._jobs[job_id]

    def seconds(self, job: Job) -> float:
        """How long a job has been running, or ran."""
        if job.state != "running" and job.ended is None:
            job.ended = self._clock()
        return (job.ended or self._clock()) - job.started
