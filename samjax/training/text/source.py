"""A source whose batches carry CLIP's vectors of their masks."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from samjax.data.batch import Batch, RunBatch, Source, dense_batch
from samjax.data.mask_crops import draw_crop
from samjax.files import json_text
from samjax.models.clip import Clip
from samjax.models.clip.crops import embed_crops
from samjax.models.params import Params
from samjax.models.siglip import Siglip
from samjax.training.finetune.delta_file import hash_params
from samjax.training.text.config import TextTraining
from samjax.training.text.sidecar import open_vectors

SHARD_EXAMPLES = 1000
"""Examples of a shard of the sidecar, for datasets that are not of tars."""


class TextSource:
    """A source that adds the vector of a crop to each mask, each embedded once.

    CLIP costs more than SAM for many masks of an image, and its crops do not depend on
    what is trained: `variants` crops of a mask are embedded when it is first seen, and
    kept. A mask is known by its pixels and its image's.

    Args:
        source: Source of images and masks.
        clip: CLIP or SigLIP.
        params: Its parameters.
        config: The options.
        seed: Seed of crops, of the choice among them, and of the noise.
        shift: A vector added to every vector before it is scaled to length 1 again
            (`samjax.training.text.means`); None for nothing.

    Raises:
        ValueError: The sidecar is of another CLIP, or of other crops.
    """

    def __init__(
        self,
        source: Source,
        clip: Clip | Siglip,
        params: Params,
        config: TextTraining,
        *,
        seed: int,
        shift: Float[np.ndarray, " e"] | None = None,
    ):
        size = (clip.config.image_size, clip.config.patch_size)
        if (config.crops.side, config.crops.patch) != size:
            named = "SigLIP" if isinstance(clip, Siglip) else "CLIP"
            raise ValueError(
                f"crops are of {config.crops.side} pixels in patches of "
                f"{config.crops.patch}, and {named} takes {size[0]} and "
                f"{size[1]}: set "
                "side and patch of text.crops"
            )
        self._source, self._clip, self._config = source, clip, config
        self._params, self._seed = jax.device_put(dict(params)), seed
        self._dense = jax.jit(dense_batch)
        self._fingerprint = fingerprint(params, clip, config, seed)
        self._shift = shift
        self._vectors = open_vectors(
            config.sidecar,
            self._fingerprint,
            (config.variants, clip.config.embed_dim),
        )

    def __getattr__(self, name: str) -> Any:
        # Position and damage of a reader, where the source is one.
        return getattr(self._source, name)

    def close(self) -> None:
        """Writes the sidecar, and closes the source if it is a reader."""
        self.save()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def save(self) -> None:
        """Writes the sidecar, if there is one."""
        self._vectors.save()

    def batch(self, step: int) -> Batch | RunBatch:
        """Returns the batch of one step, with vectors; small masks are not valid."""
        batch = self._source.batch(step)
        dense = self._dense(batch)
        images = np.asarray(dense.images).astype(np.uint8)
        masks, valid = np.asarray(dense.masks), np.array(dense.valid)
        areas = masks.sum((2, 3)) * (1024 / images.shape[1]) ** 2
        valid &= (areas >= self._config.smallest_area) & (areas > 0)
        text = np.zeros((*valid.shape, self._clip.config.embed_dim), np.float32)
        for row, column in np.argwhere(valid):
            height, width = (int(side) for side in np.asarray(dense.sizes)[row])
            variants = self._variants(
                self._shard(batch, int(row)),
                images[row, :height, :width],
                masks[row, column, :height, :width],
            )
            generator = np.random.default_rng((self._seed, step, row, column))
            vector = variants[generator.integers(len(variants))].astype(np.float32)
            if self._config.noise:
                vector = vector + self._config.noise * generator.standard_normal(
                    vector.shape
                )
            if self._shift is not None:
                vector = vector + self._shift
            text[row, column] = vector / np.linalg.norm(vector)
        return batch._replace(valid=valid, text=text)

    def _shard(self, batch: Batch | RunBatch, row: int) -> str:
        """Returns the name of the shard of the dataset that an image belongs to."""
        if isinstance(batch, Batch):
            return "drawn"
        index = int(np.asarray(batch.index)[row])
        if batch.part is not None:
            # Indices are counted within the parts of a mixture.
            part = int(np.asarray(batch.part)[row])
            return f"part{part}-{index // SHARD_EXAMPLES:06d}"
        return shard_name(getattr(self._source, "examples", None), index)

    def _variants(self, shard: str, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        key = key_of(image, mask)
        found = self._vectors.find(shard, key)
        if found is None:
            generator = np.random.default_rng((self._seed, int(key[:15], 16)))
            crops = [
                draw_crop(generator, image, mask, self._config.crops)
                for _ in range(self._config.variants)
            ]
            vectors = embed_crops(
                self._params,
                np.stack([crop.pixels for crop in crops]),
                np.stack([crop.inside for crop in crops]),
                model=self._clip,
            )
            found = np.asarray(vectors, np.float16)
            self._vectors.add(shard, key, found)
        return found


def shard_name(examples: Any, index: int) -> str:
    """Returns the name of the shard of an example: its tar's, or of a thousand examples.

    Args:
        examples: The dataset.
        index: Index of the example.
    """
    named = getattr(examples, "shard_of", None)
    return f"{index // SHARD_EXAMPLES:06d}" if named is None else named(index)


def key_of(image: np.ndarray, mask: np.ndarray) -> str:
    """Returns the name of a mask: a hash of its pixels and of its image's.

    Args:
        image: RGB (h, w, 3).
        mask: Bool (h, w).
    """
    digest = hashlib.sha256(np.packbits(mask).tobytes())
    digest.update(str((mask.shape, zlib.crc32(image.tobytes()))).encode())
    return digest.hexdigest()[:32]


def fingerprint(
    params: Params, clip: Clip | Siglip, config: TextTraining, seed: int
) -> str:
    """Returns a hash of all that the vectors of a mask depend on."""
    fields = {
        "clip": clip.config.as_fields(),
        "crops": vars(config.crops),
        "variants": config.variants,
        "seed": seed,
    }
    text = json_text(fields, sort_keys=True) + hash_params(params)
    return hashlib.sha256(text.encode()).hexdigest()
