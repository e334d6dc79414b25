"""The thread that computes embeddings and runs everything mode."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import jax
import numpy as np

from samjax.inference import AutomaticConfig, ImageEmbedding, Predictor
from samjax.inference.automatic.incremental import Step, generate_in_steps
from samjax.web.embedding_cache import EmbeddingCache
from samjax.web.folder import FolderImage
from samjax.web.jobs import EverythingJob, Jobs
from samjax.web.queueing import WorkQueue
from samjax.web.refusals import Refusal, busy
from samjax.web.schemas import EmbeddingState

_MOST_FAILURES = 256
# Seconds that a stopping server waits for the embedding in progress.
_PATIENCE = 10.0

logger = logging.getLogger(__name__)


class ModelWorker:
    """Embeds images one at a time, requested ones first, and advances jobs in between.

    A single thread, so that the encoder's memory is that of one image. Its methods may be
    called from any thread.

    Args:
        predictor: The model.
        cache: Cache of embeddings.
        read: Reads an image's pixels; raises ValueError or OSError.
        clock: Seconds from any origin.
    """

    def __init__(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        read: Callable[[FolderImage], np.ndarray],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._predictor = predictor
        self._cache = cache
        self._read = read
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: WorkQueue[FolderImage, EverythingJob] = WorkQueue()
        self._jobs = Jobs(clock)
        # By image version: time of the request, and reasons of the latest failures.
        self._requested_at: dict[str, float] = {}
        self._failures: OrderedDict[str, str] = OrderedDict()
        self._running: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stops the thread after the work in progress."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def has(self, image: FolderImage) -> bool:
        """Whether an image is embedded."""
        return self._cache.has(image)

    def request(self, image: FolderImage, *, prefetch: bool = False) -> EmbeddingState:
        """Queues an image unless it is embedded; returns the state of its embedding.

        Args:
            image: The image.
            prefetch: Whether no client waits for it yet.

        Raises:
            Refusal: Too many images are queued.
        """
        key = image.version
        with self._changed:
            if self._running != key and not self._cache.has(image):
                self._failures.pop(key, None)
                if prefetch:
                    self._queue.prefetch(key, image)
                elif not self._queue.request(key, image):
                    raise busy("too many images wait to be embedded: try again later")
                self._requested_at.setdefault(key, self._clock())
                self._changed.notify_all()
        return self.state(image)

    def state(self, image: FolderImage) -> EmbeddingState:
        """Returns the state of an image's embedding."""
        key = image.version
        with self._changed:
            position = self._queue.position(key)
            seconds = self._clock() - self._requested_at.get(key, self._clock())
            per_image = self._cache.expected_seconds
            if self._running == key:
                return EmbeddingState(
                    state="running", seconds=seconds, expected_seconds=per_image
                )
            if position is not None:
                before = position + (self._running is not None)
                return EmbeddingState(
                    state="queued",
                    position=before,
                    seconds=seconds,
                    expected_seconds=None
                    if per_image is None
                    else per_image * (before + 1),
                )
            if self._cache.has(image):
                return EmbeddingState(state="ready")
            if key in self._failures:
                return EmbeddingState(state="failed", message=self._failures[key])
            return EmbeddingState(state="absent", expected_seconds=per_image)

    def embedding(self, image: FolderImage) -> ImageEmbedding:
        """Returns the embedding of an image.

        Raises:
            Refusal: It is not ready.
        """
        embedding = self._cache.load(image)
        if embedding is None:
            raise Refusal(
                409,
                "not_ready",
                f"{image.name} is not embedded: POST its embedding, and wait until its "
                "state is ready",
            )
        return embedding

    def segment_everything(
        self, image: FolderImage, config: AutomaticConfig, person: str | None = None
    ) -> EverythingJob:
        """Starts a job of everything mode.

        Args:
            image: The image.
            config: Options.
            person: Name of the person who starts it; None without a team.

        Raises:
            Refusal: Too many jobs are running.
        """
        (grid,) = config.grids()
        with self._changed:
            steps = self._steps(image, config)
            job = self._jobs.start(image, steps, len(grid), person)
            self._queue.add_job(job.id, job)
            self._changed.notify_all()
        return job

    def job(self, job_id: str) -> tuple[EverythingJob, float]:
        """Returns a job and its run time in seconds.

        Raises:
            Refusal: No job has the id.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            return job, self._jobs.seconds(job)

    def cancel(self, job_id: str) -> None:
        """Ends a job after its current step.

        Raises:
            Refusal: No job has the id.
        """
        with self._changed:
            self._jobs.get(job_id).end("cancelled")

    def _work(self) -> None:
        while True:
            with self._changed:
                item = None
                while not self._closing and (item := self._queue.take()) is None:
                    self._changed.wait()
                if item is None or self._closing:
                    return
                if item.kind == "image":
                    self._running = item.key
            if item.kind == "image":
                self._embed(item.work)
            else:
                self._advance(item.work)

    def _embed(self, image: FolderImage) -> None:
        problem = None
        try:
            self._embedded(image)
        except Exception as error:  # noqa: BLE001
            problem = _message_of(error)
        with self._changed:
            self._running = None
            self._requested_at.pop(image.version, None)
            # Entries of prefetched images that the queue has dropped.
            for key in [
                k for k in self._requested_at if self._queue.position(k) is None
            ]:
                del self._requested_at[key]
            if problem is not None:
                self._failures[image.version] = problem
                while len(self._failures) > _MOST_FAILURES:
                    self._failures.popitem(last=False)

    def _embedded(self, image: FolderImage) -> ImageEmbedding:
        embedding = self._cache.load(image)
        if embedding is not None:
            return embedding
        start = self._clock()
        embedding = self._predictor.embed(self._read(image))
        jax.block_until_ready(embedding.features)
        self._cache.save(image, embedding, self._clock() - start)
        return embedding

    def _steps(self, image: FolderImage, config: AutomaticConfig) -> Iterator[Step]:
        embedding = self._embedded(image)
        yield from generate_in_steps(
            self._predictor, embedding, config, may_run_ahead=self._is_only_job
        )

    def _is_only_job(self) -> bool:
        """Whether the next chunk may be computed before the job's next turn.

        A chunk that is computed ahead holds the bits of its masks on the device: 64
        masks of 1.5 MB for a photo of 12 megapixels. Of several jobs each would.
        """
        with self._changed:
            return self._jobs.running == 1

    def _advance(self, job: EverythingJob) -> None:
        # Not under the lock, since a step takes about a second.
        if job.state == "running":
            try:
                job.advance()
            except Exception as error:  # noqa: BLE001
                job.end("failed", _message_of(error))
        with self._changed:
            # Records the time of the end, if it has ended.
            self._jobs.seconds(job)
            if job.state == "running":
                self._queue.add_job(job.id, job)
            else:
                # What it holds on the device is freed now, though the job is kept.
                job.steps = iter(())


def _message_of(error: Exception) -> str:
    if isinstance(error, Refusal | ValueError | ImportError):
        return str(error)
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    logger.error("the model failed", exc_info=error)
    return f"{type(error).__name__}: see the server's log"
