"""What a server consists of, for its routes to use."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from samjax.engine.annotations import AnnotationStore
from samjax.inference import Predictor
from samjax.web.decoder_cache import Decoder
from samjax.web.disk_cache import DiskCache
from samjax.web.embedding_cache import EmbeddingCache
from samjax.web.fair_lock import FairLock
from samjax.web.folder import Gallery, ImageFile
from samjax.web.image_files import read_pixels
from samjax.web.page import StaticFiles
from samjax.web.refusals import error_body
from samjax.web.schemas import ErrorBody
from samjax.web.settings import Settings
from samjax.web.uploads import Uploads, sweep
from samjax.web.worker import ModelWorker

DATABASE = "annotations.sqlite3"
# Of what is kept, most is for embeddings, which are dearest.
_FOR_EMBEDDINGS = 0.75


@dataclass(frozen=True, kw_only=True)
class Services:
    """What a server consists of.

    Attributes:
        settings: What it was told.
        predictor: The model.
        decoder: The graphs for the page, if there is to be one.
        page: Where its files are, if there is to be one.
        gallery: The images.
        store: The annotations.
        worker: Embeds.
        uploads: Takes images in.
        pictures: Thumbnails, and images in the form of browsers.
        static: Sends files.
        decoding: Is held while pixels of an image are in memory.
        clicks: Is held while a prompt alone, without a mask, is answered.
        predicting: Is held while any other is answered, by each prompt in its turn.
    """

    settings: Settings
    predictor: Predictor
    decoder: Decoder | None
    page: Path | None
    gallery: Gallery
    store: AnnotationStore
    worker: ModelWorker
    uploads: Uploads
    pictures: DiskCache
    static: StaticFiles
    decoding: threading.Semaphore
    clicks: FairLock
    predicting: FairLock

    def start(self) -> None:
        """Removes what a killed server left, and starts to work."""
        sweep(self.gallery.folder)
        self.worker.start()

    def close(self) -> None:
        """Ends what is being done, and keeps it."""
        self.worker.close()
        self.store.close()


def make_services(
    settings: Settings,
    predictor: Predictor,
    decoder: Decoder | None,
    page: Path | None,
) -> Services:
    """Puts a server's parts together.

    Raises:
        ValueError: The database cannot be used.
        OSError: A folder cannot be read or written.
    """
    gallery = Gallery(settings.folder, settings.limits.pixels)
    # One large image at a time, whoever asks: memory is what a server dies of.
    decoding = threading.Semaphore(1)
    cache, room = settings.cache, settings.cache_bytes
    embeddings = DiskCache(cache / "embeddings", int(_FOR_EMBEDDINGS * room))
    name = hashlib.sha256(predictor.fingerprint.encode()).hexdigest()[:16]

    def read(image: ImageFile):
        with decoding, gallery.open(image) as source:
            return read_pixels(source, settings.limits.pixels)

    return Services(
        settings=settings,
        predictor=predictor,
        decoder=decoder,
        page=page,
        gallery=gallery,
        store=AnnotationStore(settings.state / DATABASE),
        worker=ModelWorker(
            predictor,
            EmbeddingCache(
                embeddings, predictor.fingerprint, cache / "seconds" / f"{name}.json"
            ),
            read,
        ),
        uploads=Uploads(gallery, settings.limits.pixels, decoding),
        pictures=DiskCache(cache / "pictures", int((1 - _FOR_EMBEDDINGS) * room)),
        static=StaticFiles(DiskCache(cache / "compressed", room)),
        decoding=decoding,
        clicks=FairLock(),
        predicting=FairLock(),
    )


def _services(request: Request) -> Services:
    return request.app.state.services


Wanted = Annotated[Services, Depends(_services)]
"""The services, as a parameter of a route."""


def errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    """What a route answers beside what it is for, for the description of the API."""
    wanted = {401: "No token, or a wrong one", 403: "From elsewhere", 422: "Not usable"}
    wanted |= {status: _MEANINGS[status] for status in statuses}
    example = error_body("code", "what was got, what was expected, what to do")
    content = {"application/json": {"example": example}}
    return {
        status: {"model": ErrorBody, "description": meaning, "content": content}
        for status, meaning in wanted.items()
    }


_MEANINGS = {
    404: "There is none",
    409: "It is another by now, or not ready",
    413: "Too large",
    428: "If-Match is missing",
    503: "Too much is asked for at a time",
}
