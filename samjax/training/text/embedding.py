"""Vectors of all masks of a dataset, embedded before training, shard by shard.

CLIP costs more than SAM for many masks of an image. Embedding them once, by as many
processes as there are, each with its share of the shards, keeps it out of the training.
A process that is stopped goes on behind the last mask that it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from samjax.data.batch import RunBatch
from samjax.data.datasets import DatasetConfig, open_examples
from samjax.data.examples import ExampleSource
from samjax.data.prepare import PrepareConfig, prepare
from samjax.data.share import ALL, Share
from samjax.training.config import TrainConfig
from samjax.training.text.config import TextTraining
from samjax.training.text.initial import load_clip
from samjax.training.text.source import TextSource, shard_name


def embed_dataset(config: TrainConfig, share: Share = ALL) -> Iterator[int]:
    """Embeds the masks of a run's dataset into its sidecar, a folder.

    Masks of an image beyond `masks_per_image` of a stage are left out by a draw of the
    image alone. Where a step of the training draws others, they are embedded then.

    Args:
        config: The run.
        share: The shards that this process embeds.

    Yields:
        The index of every image after it has been embedded, once for each shape of a
        stage's batches.

    Raises:
        ValueError: The run has no text or no dataset of its own, its images differ from
            epoch to epoch, or its sidecar is no folder or of another CLIP.
        CheckpointError: CLIP cannot be read.
        OSError: The dataset cannot be read, or the folder not written.
    """
    data, text = _checked(config)
    clip, params = load_clip(text.clip)
    examples = open_examples(data)
    indices = [i for shard in shards_of(examples, share) for i in shard]
    shapes = {(of.image_size, of.masks_per_image) for of in config.stages}
    for image_size, masks in sorted(shapes):
        preparation = data.preparation(image_size=image_size, masks_per_image=masks)
        ordered = _InOrder(examples, preparation, indices, config.seed)
        source = TextSource(ordered, clip, params, text, seed=config.seed)
        try:
            for step, index in enumerate(indices):
                source.batch(step)
                yield index
        finally:
            source.close()


def count_images(config: TrainConfig, share: Share = ALL) -> int:
    """Returns how many images `embed_dataset` yields.

    Args:
        config: The run.
        share: As for `embed_dataset`.

    Raises:
        ValueError: As for `embed_dataset`.
        OSError: The dataset cannot be read.
    """
    data, _ = _checked(config)
    images = sum(len(shard) for shard in shards_of(open_examples(data), share))
    return images * len({(of.image_size, of.masks_per_image) for of in config.stages})


def shards_of(examples: ExampleSource, share: Share = ALL) -> Iterator[list[int]]:
    """Yields the indices of the examples of each shard of a share.

    Args:
        examples: The dataset.
        share: The shards, counted in the order of the dataset.
    """
    shards: dict[str, list[int]] = {}
    for index in range(len(examples)):
        shards.setdefault(shard_name(examples, index), []).append(index)
    yield from list(shards.values())[share.index :: share.count]


class _InOrder:
    """The prepared examples of some indices, one a batch."""

    def __init__(
        self,
        examples: ExampleSource,
        config: PrepareConfig,
        indices: Sequence[int],
        seed: int,
    ):
        self.examples, self._config = examples, config
        self._indices, self._seed = indices, seed

    def batch(self, step: int) -> RunBatch:
        index = self._indices[step]
        rng = np.random.default_rng((self._seed, index))
        example = prepare(self.examples[index], self._config, rng, index)
        return RunBatch(*jax.tree.map(lambda leaf: np.asarray(leaf)[None], example))


def _checked(config: TrainConfig) -> tuple[DatasetConfig, TextTraining]:
    """Returns the dataset and the options of text of a run that can be embedded."""
    data, text = config.data, config.text
    if text is None:
        raise ValueError("the run has no text: set the config's field text")
    if not isinstance(data, DatasetConfig):
        raise ValueError(  # noqa: TRY004 (of a config, not of an argument)
            "the run has no dataset of its own, expected data.path: the vectors of drawn "
            "scenes and of mixtures are embedded in training"
        )
    if data.augments:
        raise ValueError(
            "images of the run differ from epoch to epoch (flip, jitter, copy_paste, "
            "colours): their vectors are embedded in training"
        )
    if text.sidecar is None or Path(text.sidecar).suffix == ".safetensors":
        raise ValueError(
            f"got text.sidecar={text.sidecar}, expected a folder for the vectors of the "
            "shards: --text.sidecar FOLDER"
        )
    return data, text
