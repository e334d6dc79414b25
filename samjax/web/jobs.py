"""Jobs of everything mode: started, polled, cancelled, advanced step by step."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from samjax.inference.automatic.incremental import Step
from samjax.web.folder import FolderImage
from samjax.web.refusals import Refusal, busy, not_found

MOST_RUNNING = 8
MOST_KEPT = 16


@dataclass(kw_only=True)
class EverythingJob:
    """A run of everything mode on one image.

    Attributes:
        id: Random id.
        image: The image.
        person: Name of the person who started it; None without a team.
        steps: Generator that does one chunk of points per step.
        started: Time of the start, by the clock of the jobs.
        ended: Time of the end, or None.
        state: State of the job.
        done: Number of processed points.
        total: Number of all points.
        records: The records, when it is done.
        message: Reason of a failure.
    """

    id: str
    image: FolderImage
    person: str | None
    steps: Iterator[Step]
    started: float
    ended: float | None = None
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    done: int = 0
    total: int
    records: list[Any] | None = None
    message: str | None = None

    def advance(self) -> None:
        """Does one step; sets `state` after the last one.

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
        """Ends the job, unless it has ended."""
        if self.state == "running":
            # State last: readers in other threads then see the message with it.
            self.message = message
            self.state = state


class Jobs:
    """The running jobs of a server, bounded in number, and the last ended ones.

    Args:
        clock: Seconds from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._jobs: OrderedDict[str, EverythingJob] = OrderedDict()

    @property
    def running(self) -> int:
        """Number of jobs that have not ended."""
        return sum(job.state == "running" for job in self._jobs.values())

    def start(
        self,
        image: FolderImage,
        steps: Iterator[Step],
        total: int,
        person: str | None = None,
    ) -> EverythingJob:
        """Adds a job.

        Args:
            image: The image.
            steps: Generator that does one chunk of points per step.
            total: Number of all points.
            person: Name of the person who started it; None without a team.

        Raises:
            Refusal: Too many run already.
        """
        if self.running >= MOST_RUNNING:
            raise busy(f"{MOST_RUNNING} jobs are running: wait for one, or cancel it")
        job = EverythingJob(
            id=secrets.token_urlsafe(12),
            image=image,
            person=person,
            steps=steps,
            started=self._clock(),
            total=total,
        )
        self._jobs[job.id] = job
        ended = [job.id for job in self._jobs.values() if job.state != "running"]
        for old in ended[: max(0, len(ended) - MOST_KEPT)]:
            del self._jobs[old]
        return job

    def get(self, job_id: str) -> EverythingJob:
        """Returns a job by its id.

        Raises:
            Refusal: No job has the id, or it ended long ago.
        """
        if job_id not in self._jobs:
            raise no_job(job_id)
        return self._jobs[job_id]

    def seconds(self, job: EverythingJob) -> float:
        """Returns the run time of a job so far, or until its end."""
        if job.state != "running" and job.ended is None:
            job.ended = self._clock()
        return (job.ended or self._clock()) - job.started


def no_job(job_id: str) -> Refusal:
    """Returns the refusal of an id that no job has."""
    return not_found("job", job_id, "it may have ended long ago: start it again")
