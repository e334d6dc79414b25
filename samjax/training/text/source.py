"""A source whose batches carry CLIP's vectors of their masks."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from samjax.checkpoints.safetensors_file import (
    Planned,
    read_safetensors,
    write_safetensors,
)
from samjax.data.batch import Batch, RunBatch, Source, dense_batch
from samjax.data.mask_crops import draw_crop
from samjax.files import json_text, replacing
from samjax.models.clip import Clip
from samjax.models.clip.crops import embed_crops
from samjax.models.params import Params
from samjax.training.finetune.delta_file import hash_params
from samjax.training.text.config import TextTraining

FORMAT = "samjax vectors of masks"
FLUSH_EVERY = 256
"""New masks after which the sidecar is written."""


class TextSource:
    """A source that adds the vector of a crop to each mask, each embedded once.

    CLIP costs more than SAM for many masks of an image, and its crops do not depend on
    what is trained: `variants` crops of a mask are embedded when it is first seen, and
    kept. A mask is known by its pixels and its image's.

    Args:
        source: Source of images and masks.
        clip: CLIP.
        params: Its parameters.
        config: The options.
        seed: Seed of crops, of the choice among them, and of the noise.

    Raises:
        ValueError: The sidecar is of another CLIP, or of other crops.
    """

    def __init__(
        self,
        source: Source,
        clip: Clip,
        params: Params,
        config: TextTraining,
        *,
        seed: int,
    ):
        size = (clip.config.image_size, clip.config.patch_size)
        if (config.crops.side, config.crops.patch) != size:
            raise ValueError(
                f"crops are of {config.crops.side} pixels in patches of "
                f"{config.crops.patch}, and CLIP takes {size[0]} and {size[1]}: set "
                "side and patch of text.crops"
            )
        self._source, self._clip, self._config = source, clip, config
        self._params, self._seed = jax.device_put(dict(params)), seed
        self._dense = jax.jit(dense_batch)
        self._fingerprint = fingerprint(params, clip, config, seed)
        self._path = None if config.sidecar is None else Path(config.sidecar)
        self._vectors: dict[str, np.ndarray] = {}
        self._unsaved = 0
        if self._path is not None and self._path.is_file():
            self._vectors = read_sidecar(self._path, self._fingerprint)

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
        if self._path is not None and self._unsaved:
            write_sidecar(self._path, self._vectors, self._fingerprint)
            self._unsaved = 0

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
                images[row, :height, :width], masks[row, column, :height, :width]
            )
            generator = np.random.default_rng((self._seed, step, row, column))
            vector = variants[generator.integers(len(variants))].astype(np.float32)
            if self._config.noise:
                vector = vector + self._config.noise * generator.standard_normal(
                    vector.shape
                )
            text[row, column] = vector / np.linalg.norm(vector)
        return batch._replace(valid=valid, text=text)

    def _variants(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        key = key_of(image, mask)
        if key not in self._vectors:
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
            self._vectors[key] = np.asarray(vectors, np.float16)
            self._unsaved += 1
            if self._unsaved >= FLUSH_EVERY:
                self.save()
        return self._vectors[key]


def key_of(image: np.ndarray, mask: np.ndarray) -> str:
    """Returns the name of a mask: a hash of its pixels and of its image's.

    Args:
        image: RGB (h, w, 3).
        mask: Bool (h, w).
    """
    digest = hashlib.sha256(np.packbits(mask).tobytes())
    digest.update(str((mask.shape, zlib.crc32(image.tobytes()))).encode())
    return digest.hexdigest()[:32]


def fingerprint(params: Params, clip: Clip, config: TextTraining, seed: int) -> str:
    """Returns a hash of all that the vectors of a mask depend on."""
    fields = {
        "clip": clip.config.as_fields(),
        "crops": vars(config.crops),
        "variants": config.variants,
        "seed": seed,
    }
    text = json_text(fields, sort_keys=True) + hash_params(params)
    return hashlib.sha256(text.encode()).hexdigest()


def write_sidecar(path: Path, vectors: dict[str, np.ndarray], stamp: str) -> None:
    """Writes vectors of masks, completely or not at all.

    Args:
        path: The file.
        vectors: Float16 (variants, e) by the name of the mask.
        stamp: Their fingerprint.
    """
    plan = [Planned(key, "F16", value.shape) for key, value in vectors.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": FORMAT, "fingerprint": stamp}
    with replacing(path) as hidden, hidden.open("wb") as file:
        write_safetensors(file, plan, iter(vectors.values()), metadata, checksums=True)


def read_sidecar(path: Path, stamp: str) -> dict[str, np.ndarray]:
    """Reads vectors of masks, float16 (variants, e).

    Args:
        path: The file.
        stamp: The fingerprint that they have to have.

    Raises:
        ValueError: They are of another CLIP or of other crops, or it is no such file.
        CheckpointError: It cannot be read.
    """
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is no sidecar of vectors: name another file")
    if metadata.get("fingerprint") != stamp:
        raise ValueError(
            f"{path} has vectors of another CLIP, of other crops or of another seed: "
            "name another file, or delete it"
        )
    return {key: np.array(tensor.array()) for key, tensor in tensors.items()}
