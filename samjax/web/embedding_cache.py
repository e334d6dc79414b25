"""Cache of embeddings: on the disk, and the most recent ones in memory.

Where the disk is full or not writable they are in memory alone, and are computed again
after they were evicted.
"""

import contextlib
import json
import logging
import threading
from collections import OrderedDict
from pathlib import Path

from samjax.files import json_text, replacing
from samjax.inference import ImageEmbedding
from samjax.web.disk_cache import DiskCache
from samjax.web.folder import FolderImage

_IN_MEMORY = 4
# Time constant, in images, of the running mean of encoding times.
_TIMES_IN_MEAN = 5

logger = logging.getLogger(__name__)


class EmbeddingCache:
    """The embeddings of one model, and its encoding time on this machine.

    Args:
        files: Cache of the files.
        fingerprint: Fingerprint of the model's image encoder.
        about: File that stores the mean encoding time.
    """

    def __init__(self, files: DiskCache, fingerprint: str, about: Path):
        self._files = files
        self._fingerprint = fingerprint
        self._about = about
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, ImageEmbedding] = OrderedDict()
        # Keys of damaged files that cannot be removed either.
        self._spoiled: set[str] = set()
        self._seconds = _read_seconds(about)

    @property
    def expected_seconds(self) -> float | None:
        """Mean encoding time of earlier images, in seconds; None if there were none."""
        return self._seconds

    def has(self, image: FolderImage) -> bool:
        """Whether an image has an embedding; whether it is intact is known on loading."""
        key = self._key(image)
        with self._lock:
            if key in self._recent or key in self._spoiled:
                return key in self._recent
        return self._files.has(key)

    def load(self, image: FolderImage) -> ImageEmbedding | None:
        """Returns the embedding of an image; None if missing, damaged or another model's."""
        key = self._key(image)
        path = self._files.use(key)
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
            if key in self._spoiled:
                return None
        if path is None:
            return None
        try:
            embedding = ImageEmbedding.load(path)
        except (ValueError, OSError):
            embedding = None
        if embedding is None or embedding.fingerprint != self._fingerprint:
            if not self._files.drop(key):
                with self._lock:
                    self._spoiled.add(key)
            return None
        self._remember(key, embedding)
        return embedding

    def save(
        self, image: FolderImage, embedding: ImageEmbedding, seconds: float
    ) -> None:
        """Stores an embedding, on the disk if possible, and updates the encoding time."""
        key = self._key(image)
        self._remember(key, embedding)
        before = seconds if self._seconds is None else self._seconds
        self._seconds = before + (seconds - before) / _TIMES_IN_MEAN
        try:
            self._files.put(key, embedding.save)
            with self._lock:
                self._spoiled.discard(key)
        except OSError as error:
            logger.warning(
                "the embedding of %s is in memory only: %s cannot be written (%s); make "
                "room there, or name another folder with SAMJAX_CACHE",
                image.name,
                self._files.path(key).parent,
                (error.strerror or str(error)).lower(),
            )
            return
        with contextlib.suppress(OSError):
            self._about.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._about) as hidden:
                hidden.write_text(json_text({"seconds": self._seconds}))

    def _remember(self, key: str, embedding: ImageEmbedding) -> None:
        with self._lock:
            self._recent[key] = embedding
            self._recent.move_to_end(key)
            while len(self._recent) > _IN_MEMORY:
                self._recent.popitem(last=False)

    def _key(self, image: FolderImage) -> str:
        return f"{self._fingerprint[:16]}/{image.version}.safetensors"


def _read_seconds(path: Path) -> float | None:
    try:
        seconds = json.loads(path.read_text())["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = isinstance(seconds, float | int) and 0 <= seconds < 1e6
    return float(seconds) if sound else None
