"""Cache of image embeddings, for runs that do not train the image encoder.

With a frozen encoder and images that are not augmented, the embedding of an image is the
same in every epoch. Encoding is most of the work of a step: with a cache, few-shot
training of the mask decoder takes minutes, even on a CPU.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any, Protocol, cast, runtime_checkable

import jax
import numpy as np

from samjax.data.batch import DatasetReader, RunBatch
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig
from samjax.geometry.frame import normalize
from samjax.models.params import IMAGE_ENCODER, Params, select_parts
from samjax.models.sam import Sam
from samjax.training.config import TrainConfig

MOST_BYTES = 4 << 30


@runtime_checkable
class RunSource(DatasetReader, Protocol):
    """A reader of a dataset's batches (`samjax.data.datasets.DatasetSource`)."""

    def batch(self, step: int) -> RunBatch:
        """Returns the batch of one step."""
        ...


class EmbeddedSource:
    """A source whose batches carry image embeddings, each computed once.

    Args:
        source: Source of the images; an index, of a part where it is a mixture, always
            stands for the same pixels.
        model: The model.
        params: Its parameters, of which the image encoder's are read.
        most_bytes: Size of the cache, 4 MB an image for the released models; the least
            recently used embeddings are evicted.
    """

    def __init__(
        self,
        source: RunSource,
        model: Sam,
        params: Params,
        *,
        most_bytes: int = MOST_BYTES,
    ):
        self._source, self._most_bytes = source, most_bytes
        self.problems, self.num_examples = source.problems, source.num_examples
        self.examples = getattr(source, "examples", None)
        self._encode = functools.partial(
            _encode, model, jax.device_put(select_parts(params, [IMAGE_ENCODER]))
        )
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    @property
    def position(self) -> dict[str, int]:
        """Position of the source of the images."""
        return self._source.position

    def damage(self) -> list[str]:
        """Returns one line for each of the first damaged examples of the source."""
        return self._source.damage()

    def close(self) -> None:
        """Closes the source of the images."""
        self._source.close()

    def batch(self, step: int) -> RunBatch:
        """Returns the batch of one step, with the embeddings of its images."""
        batch = self._source.batch(step)
        parts = np.zeros_like(batch.index) if batch.part is None else batch.part
        rows = [
            self._embedding((int(part), int(index)), image, size)
            for part, index, image, size in zip(
                parts, batch.index, batch.images, batch.sizes, strict=True
            )
        ]
        return batch._replace(embeddings=np.stack(rows))

    def _embedding(
        self, key: tuple[int, int], image: np.ndarray, size: np.ndarray
    ) -> np.ndarray:
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        embedding = np.asarray(self._encode(image[None], size[None])[0])
        self._cache[key] = embedding
        while len(self._cache) > max(1, self._most_bytes // embedding.nbytes):
            self._cache.popitem(last=False)
        return embedding


def can_cache_embeddings(config: TrainConfig) -> bool:
    """Returns whether an image has the same embedding in every step of a run."""
    return (
        _recurs(config.data)
        and config.encoder_training == "frozen"
        and config.model.drop_path_rate == 0.0
        and not any(stage.crops for stage in config.stages)
    )


def _recurs(data: DatasetConfig | MixtureConfig | None) -> bool:
    if isinstance(data, MixtureConfig):
        return all(part.recurs for part in data.parts)
    return data is not None and not data.augments


@functools.partial(jax.jit, static_argnums=0)
def _encode(model: Sam, params: Any, images: Any, sizes: Any) -> jax.Array:
    embeddings = model.apply(
        {"params": params},
        normalize(images, sizes),
        method="encode_image",
    )
    return cast(jax.Array, embeddings).astype("float32")
