"""Image embeddings that are computed once, for runs that do not train the image encoder.

With a frozen encoder and images that are not augmented, the encoder gives the same
embedding of an image in every epoch. It is most of the work of a step: to keep it makes
few-shot training of the mask decoder a matter of minutes, even on a CPU.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any, Protocol, cast, runtime_checkable

import jax
import numpy as np

from samjax.data.batch import RunBatch
from samjax.data.datasets import DatasetConfig
from samjax.geometry.frame import normalize
from samjax.models.sam import Sam
from samjax.training.config import TrainConfig
from samjax.training.finetune.trainable import Params

MOST_BYTES = 4 << 30


@runtime_checkable
class RunSource(Protocol):
    """A source of a dataset's batches (`samjax.data.datasets.DatasetSource`)."""

    def batch(self, step: int) -> RunBatch:
        """Returns the batch of one step."""
        ...


class EmbeddedSource:
    """Gives the batches of another source with the embeddings of their images.

    Args:
        source: Gives each image by the same index, and the same, whenever it does.
        model: The model.
        params: Its parameters, of which the image encoder's are read.
        most_bytes: Embeddings that are kept, 4 MB an image for the released models; of
            more, those that were used last.
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
        self._encode = functools.partial(
            _encode, model, jax.device_put(params["image_encoder"])
        )
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        # Position and closing are the source's own.
        return getattr(self._source, name)

    def batch(self, step: int) -> RunBatch:
        """Returns the batch of one step, its images as embeddings too."""
        batch = self._source.batch(step)
        rows = [
            self._embedding(int(index), image, size)
            for index, image, size in zip(
                batch.index, batch.images, batch.sizes, strict=True
            )
        ]
        return batch._replace(embeddings=np.stack(rows))

    def _embedding(self, index: int, image: np.ndarray, size: np.ndarray) -> np.ndarray:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        embedding = np.asarray(self._encode(image[None], size[None])[0])
        self._kept[index] = embedding
        while len(self._kept) > max(1, self._most_bytes // embedding.nbytes):
            self._kept.popitem(last=False)
        return embedding


def can_be_embedded(config: TrainConfig) -> bool:
    """Whether every step of a run sees the same embedding of an image."""
    data = config.data
    return (
        isinstance(data, DatasetConfig)
        and not data.augments
        and config.encoder_training == "frozen"
        and config.model.drop_path_rate == 0.0
        and not any(stage.crops for stage in config.stages)
    )


@functools.partial(jax.jit, static_argnums=0)
def _encode(model: Sam, encoder: Any, images: Any, sizes: Any) -> jax.Array:
    embeddings = model.apply(
        {"params": {"image_encoder": encoder}},
        normalize(images, sizes),
        method="encode_image",
    )
    return cast(jax.Array, embeddings).astype("float32")
