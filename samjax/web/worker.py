"""The one thread that embeds images and runs everything mode, and what it knows."""

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
from samjax.web.folder import ImageFile
from samjax.web.jobs import Job, Jobs
from samjax.web.queueing import Turns
from samjax.web.refusals import Refusal, busy
from samjax.web.schemas import EmbeddingState

_MOST_FAILURES = 256
# How long a server that stops waits for an embedding that is nearly there, in seconds.
_PATIENCE = 10.0

logger = logging.getLogger(__name__)


class ModelWorker:
    """Embeds images one by one, those that people wait for first.

    One thread, so that memory is that of one image whatever is asked for. Safe to use
    from any thread.

    Args:
        predictor: The model.
        cache: Where embeddings are kept.
        read: Reads an image's pixels; raises ValueError or OSError.
        clock: Seconds, of any origin.
    """

    def __init__(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        read: Callable[[ImageFile], np.ndarray],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._predictor = predictor
        self._cache = cache
        self._read = read
        self._clock = clock
        self._changed = threading.Condition()
        self._turns: Turns[ImageFile, Job] = Turns()
        self._jobs = Jobs(clock)
        # By image: when it was asked for; and of the last that failed, why.
        self._asked_at: dict[str, float] = {}
        self._failures: OrderedDict[str, str] = OrderedDict()
        self._running: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends what is being done, keeps it, and does nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def has(self, image: ImageFile) -> bool:
        """Whether an image is embedded."""
        return self._cache.has(image)

    def request(self, image: ImageFile, *, prefetch: bool = False) -> EmbeddingState:
        """Has an image embedded, if it is not, and says how far that is.

        Args:
            image: The image.
            prefetch: Whether it is only foreseen that somebody asks for it.

        Raises:
            Refusal: Too many wait.
        """
        key = image.version
        with self._changed:
            if self._running != key and not self._cache.has(image):
                self._failures.pop(key, None)
                if prefetch:
                    self._turns.foresee(key, image)
                elif not self._turns.ask(key, image):
                    raise busy("too many images wait to be embedded: ask again later")
                self._asked_at.setdefault(key, self._clock())
                self._changed.notify_all()
        return self.state(image)

    def state(self, image: ImageFile) -> EmbeddingState:
        """Says how far the embedding of an image is."""
        key = image.version
        with self._changed:
            position = self._turns.position(key)
            seconds = self._clock() - self._asked_at.get(key, self._clock())
            one = self._cache.expected_seconds
            if self._running == key:
                return EmbeddingState(
                    state="running", seconds=seconds, expected_seconds=one
                )
            if position is not None:
                before = position + (self._running is not None)
                return EmbeddingState(
                    state="queued",
                    position=before,
                    seconds=seconds,
                    expected_seconds=None if one is None else one * (before + 1),
                )
            if self._cache.has(image):
                return EmbeddingState(state="ready")
            if key in self._failures:
                return EmbeddingState(state="failed", message=self._failures[key])
            return EmbeddingState(state="absent", expected_seconds=one)

    def embedding(self, image: ImageFile) -> ImageEmbedding:
        """The embedding of an image.

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

    def segment_everything(self, image: ImageFile, config: AutomaticConfig) -> Job:
        """Starts a job.

        Raises:
            Refusal: Too many are running.
        """
        (grid,) = config.grids()
        with self._changed:
            job = self._jobs.start(image, self._steps(image, config), len(grid))
            self._turns.add_job(job.id, job)
            self._changed.notify_all()
        return job

    def job(self, job_id: str) -> tuple[Job, float]:
        """Finds a job, and how many seconds it has been running.

        Raises:
            Refusal: There is none.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            return job, self._jobs.seconds(job)

    def cancel(self, job_id: str) -> None:
        """Ends a job after the step that it is in.

        Raises:
            Refusal: There is none.
        """
        with self._changed:
            self._jobs.get(job_id).end("cancelled")

    def _work(self) -> None:
        while True:
            with self._changed:
                turn = None
                while not self._closing and (turn := self._turns.take()) is None:
                    self._changed.wait()
                if turn is None or self._closing:
                    return
                if turn.kind == "image":
                    self._running = turn.key
            if turn.kind == "image":
                self._embed(turn.what)
            else:
                self._advance(turn.what)

    def _embed(self, image: ImageFile) -> None:
        problem = None
        try:
            self._embedded(image)
        except Exception as error:  # noqa: BLE001
            problem = _in_words(error)
        with self._changed:
            self._running = None
            self._asked_at.pop(image.version, None)
            # Those that were forgotten, since others came.
            for key in [k for k in self._asked_at if self._turns.position(k) is None]:
                del self._asked_at[key]
            if problem is not None:
                self._failures[image.version] = problem
                while len(self._failures) > _MOST_FAILURES:
                    self._failures.popitem(last=False)

    def _embedded(self, image: ImageFile) -> ImageEmbedding:
        embedding = self._cache.load(image)
        if embedding is not None:
            return embedding
        start = self._clock()
        embedding = self._predictor.embed(self._read(image))
        jax.block_until_ready(embedding.features)
        self._cache.save(image, embedding, self._clock() - start)
        return embedding

    def _steps(self, image: ImageFile, config: AutomaticConfig) -> Iterator[Step]:
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

    def _advance(self, job: Job) -> None:
        # Not under the lock: a step takes a second.
        if job.state == "running":
            try:
                job.advance()
            except Exception as error:  # noqa: BLE001
                job.end("failed", _in_words(error))
        with self._changed:
            # Sets when it ended, so that its time stands.
            self._jobs.seconds(job)
            if job.state == "running":
                self._turns.add_job(job.id, job)
            else:
                # What it holds on the device is freed now, though the job is kept.
                job.steps = iter(())


def _in_words(error: Exception) -> str:
    if isinstance(error, Refusal | ValueError | ImportError):
        return str(error)
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    logger.error("the model failed", exc_info=error)
    return f"{type(error).__name__}: the server's log has more"
