"""Models of samjax whose image embeddings are kept in a folder, for several evaluations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from samjax.evaluation.segmenter import PredictorSegmenter, hash_of_pixels
from samjax.inference.embedding import ImageEmbedding


@dataclasses.dataclass
class CacheTally:
    """Counts of the embeddings of an evaluation.

    Attributes:
        read: Embeddings that were read.
        written: Embeddings that were computed and written.
    """

    read: int = 0
    written: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class CachedSegmenter(PredictorSegmenter):
    """A model of samjax that reads the embeddings of images that it embedded before.

    A file is named by a hash of the pixels, and is in a folder named by the fingerprint
    of the image encoder and the precision. One that is damaged, or of another encoder or
    image than its name says, is not used, and is replaced.

    Attributes:
        folder: Where the embeddings are.
        tally: Counts of those that were read and written.
    """

    folder: Path
    tally: CacheTally = dataclasses.field(default_factory=CacheTally)

    @property
    def own_folder(self) -> Path:
        """The folder for embeddings of this image encoder, precision and resizing."""
        dtype = np.dtype(self.predictor.model.dtype).name
        resize = "-square" if self.to_square else ""
        return self.folder / f"{self.predictor.fingerprint[:16]}-{dtype}{resize}"

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> ImageEmbedding:
        """Reads the embedding of an image, or computes and writes it.

        Raises:
            WouldReplace: A file of its name is no image embedding, and stays as it is.
            OSError: It cannot be written.
        """
        path = self.own_folder / f"{hash_of_pixels(image)}.safetensors"
        kept = self._read(path, image)
        if kept is not None:
            self.tally.read += 1
            return kept
        embedding = super().embed(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        embedding.save(path)
        self.tally.written += 1
        return embedding

    def summary(self) -> str:
        """Returns a line on what was read and written, and the size of the folder."""
        sizes = [path.stat().st_size for path in self.own_folder.glob("*.safetensors")]
        return (
            f"embeddings: {self.tally.read} read, {self.tally.written} written; "
            f"{self.own_folder} has {len(sizes)}, {sum(sizes) / 1e6:.1f} MB"
        )

    def _read(self, path: Path, image: np.ndarray) -> ImageEmbedding | None:
        try:
            embedding = ImageEmbedding.load(path)
        except (FileNotFoundError, ValueError):
            return None
        is_own = embedding.fingerprint == self.predictor.fingerprint
        size = (image.shape[0], image.shape[1])
        return embedding if is_own and embedding.frame.original_size == size else None
