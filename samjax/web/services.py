"""The parts of a server, as its routes use them."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.mask_reviews import MaskReviews
from samjax.engine.annotations.people import People, Person
from samjax.engine.annotations.regions import Regions
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.annotations.team import TeamQueue
from samjax.inference import Predictor
from samjax.web.decoder_cache import PageDecoder
from samjax.web.disk_cache import DiskCache
from samjax.web.embedding_cache import EmbeddingCache
from samjax.web.fair_lock import FairLock
from samjax.web.folder import FolderImage, Gallery
from samjax.web.image_files import read_pixels
from samjax.web.page import StaticFiles
from samjax.web.refusals import error_body
from samjax.web.schemas import ErrorBody
from samjax.web.settings import Settings
from samjax.web.tokens import PERSON, Tokens
from samjax.web.uploads import Uploads, sweep
from samjax.web.worker import ModelWorker

DATABASE = "annotations.sqlite3"
# Embeddings get most of the cache: they are the most expensive to compute again.
_FOR_EMBEDDINGS = 0.75


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of a server.

    Attributes:
        settings: Settings of the server.
        predictor: The model.
        decoder: The ONNX decoder for the page; None without a page.
        page: Folder of the page's files; None without a page.
        gallery: The images.
        store: The annotations.
        tasks: The queue of annotation tasks, in the same database.
        team: The same queue as that of a team; None without a project.
        mask_reviews: The verdicts on masks.
        regions: The regions to blur.
        people: The people of the database.
        tokens: Their tokens.
        worker: Thread that computes embeddings and runs jobs.
        uploads: Receives images.
        previews: Cache of thumbnails and of images converted for browsers.
        static: Sends static files.
        decoding: Acquired while an image is decoded: one at a time, for memory.
        clicks: Acquired while a single prompt without a mask is decoded.
        predicting: Acquired for every batch of other prompts.
    """

    settings: Settings
    predictor: Predictor
    decoder: PageDecoder | None
    page: Path | None
    gallery: Gallery
    store: AnnotationStore
    tasks: TaskQueue
    team: TeamQueue | None
    mask_reviews: MaskReviews
    regions: Regions
    people: People
    tokens: Tokens
    worker: ModelWorker
    uploads: Uploads
    previews: DiskCache
    static: StaticFiles
    decoding: threading.Semaphore
    clicks: FairLock
    predicting: FairLock

    def start(self) -> None:
        """Removes remains of a killed server, adds tasks, and starts the worker."""
        sweep(self.gallery.folder)
        project = self.settings.project
        if self.settings.queue or project is not None:
            self.tasks.add(
                (file.name for file in self.gallery.files()),
                round=0 if project is None else project.round,
                seed=0 if project is None else project.seed,
            )
        self.worker.start()

    def close(self) -> None:
        """Finishes the work in progress, and closes the database."""
        self.worker.close()
        self.store.close()


def make_services(
    settings: Settings,
    predictor: Predictor,
    decoder: PageDecoder | None,
    page: Path | None,
) -> Services:
    """Returns the parts of a server.

    Raises:
        ValueError: The database cannot be used.
        OSError: A folder cannot be read or written.
    """
    gallery = Gallery(settings.folder, settings.limits.pixels)
    # One decoded image at a time in all threads, which bounds the peak memory.
    decoding = threading.Semaphore(1)
    cache, most_bytes = settings.cache, settings.cache_bytes
    embeddings = DiskCache(cache / "embeddings", int(_FOR_EMBEDDINGS * most_bytes))
    name = hashlib.sha256(predictor.fingerprint.encode()).hexdigest()[:16]

    def read(image: FolderImage):
        with decoding, gallery.open(image) as source:
            return read_pixels(source, settings.limits.pixels)

    store = AnnotationStore(settings.state / DATABASE)
    people, team = People(store.database), None
    if (project := settings.project) is not None:
        lease = 60 * project.lease_minutes
        team = TeamQueue(store.database, project.rules, lease_seconds=lease)
    return Services(
        settings=settings,
        predictor=predictor,
        decoder=decoder,
        page=page,
        gallery=gallery,
        store=store,
        tasks=TaskQueue(store.database) if team is None else team,
        team=team,
        mask_reviews=MaskReviews(store.database),
        regions=Regions(store.database),
        people=people,
        tokens=Tokens(people),
        worker=ModelWorker(
            predictor,
            EmbeddingCache(
                embeddings, predictor.fingerprint, cache / "seconds" / f"{name}.json"
            ),
            read,
        ),
        uploads=Uploads(gallery, settings.limits.pixels, decoding),
        previews=DiskCache(cache / "pictures", int((1 - _FOR_EMBEDDINGS) * most_bytes)),
        static=StaticFiles(DiskCache(cache / "compressed", most_bytes)),
        decoding=decoding,
        clicks=FairLock(),
        predicting=FairLock(),
    )


# Coroutines, which FastAPI calls without a thread.
async def _services(request: Request) -> Services:
    return request.app.state.services


async def _caller(request: Request) -> Person | None:
    return request.scope.get(PERSON)


Wanted = Annotated[Services, Depends(_services)]
"""The services, as a parameter of a route."""

Caller = Annotated[Person | None, Depends(_caller)]
"""The person of the request's token, as a parameter of a route; None without a team."""


def errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Returns descriptions of a route's error responses, for OpenAPI."""
    described = {401: "No token, or a wrong one", 403: "Foreign origin", 422: "Invalid"}
    described |= {status: _MEANINGS[status] for status in statuses}
    example = error_body("code", "what was got, what was expected, what to do")
    content = {"application/json": {"example": example}}
    return {
        status: {"model": ErrorBody, "description": meaning, "content": content}
        for status, meaning in described.items()
    }


_MEANINGS = {
    404: "Not found",
    409: "Changed meanwhile, or not ready",
    413: "Too large",
    428: "If-Match is missing",
    503: "Over capacity, or the storage failed",
}
