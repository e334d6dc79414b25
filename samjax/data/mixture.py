"""Mixtures of datasets and drawn scenes.

Each part of a mixture is shuffled on its own, as if it were the only dataset, so every
example of a part is read once per epoch of that part. A batch is a function of seed,
step and batch size.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from samjax.data.batch import RunBatch
from samjax.data.batch_reader import BatchReader, ExampleSequence
from samjax.data.datasets import DatasetConfig, open_examples, shuffled
from samjax.data.examples import ExampleSource
from samjax.data.prepare import PrepareConfig
from samjax.data.problems import DamageLog
from samjax.data.synthetic.config import SceneConfig

# Number of consecutive examples in which the counts of the parts match their weights.
BLOCK = 10_000


@dataclass(frozen=True, kw_only=True)
class MixturePart:
    """A dataset, or drawn scenes, as a part of a mixture.

    Attributes:
        weight: Relative number of examples from this part.
        data: The dataset; None for drawn scenes.
        scenes: Scenes drawn on the host's CPU; each training stage sets their size and
            number of masks.
        num_scenes: Number of distinct scenes, which recur in the same order; None for a
            new scene each time. A run with a frozen image encoder embeds each of them
            once.
        textures: A dataset of photos that fill the scenes' regions in place of the
            drawn materials (`samjax.data.textures`); its masks are not read.
        loss_weight: Factor of the losses of this part's masks, such as less than 1 for
            pseudo-labels.
    """

    weight: float = 1.0
    data: DatasetConfig | None = None
    scenes: SceneConfig | None = None
    num_scenes: int | None = None
    textures: DatasetConfig | None = None
    loss_weight: float = 1.0

    def __post_init__(self):
        problems = []
        if (self.data is None) == (self.scenes is None):
            problems.append("give either data or scenes")
        if self.textures is not None and self.scenes is None:
            problems.append("textures are for scenes")
        if self.num_scenes is not None and self.scenes is None:
            problems.append("num_scenes is for scenes")
        if self.num_scenes is not None and self.num_scenes < 1:
            problems.append(f"num_scenes={self.num_scenes}: use 1 or more, or None")
        if not (np.isfinite(self.weight) and self.weight > 0):
            problems.append(f"weight={self.weight}: use a number above 0")
        if not (np.isfinite(self.loss_weight) and self.loss_weight >= 0):
            problems.append(f"loss_weight={self.loss_weight}: use 0 or more")
        if problems:
            raise ValueError("MixturePart: " + "; ".join(problems))

    @property
    def recurs(self) -> bool:
        """Whether the pixels of an example are the same in every epoch."""
        if self.data is not None:
            return not self.data.augments
        return self.num_scenes is not None


# Fields of `DatasetConfig` that a mixture sets for all of its parts.
_COMMON_FIELDS = ("workers", "prefetch", "boundaries_per_mask", "max_bad_fraction")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """A mixture of datasets and drawn scenes, and the options for reading it.

    Attributes:
        parts: The parts of the mixture.
        workers: Number of processes that prepare examples; 0 uses threads of this
            process. This and the next three apply to all parts and cannot be set in
            them.
        prefetch: Number of prefetched batches, per worker, or in total without workers.
        boundaries_per_mask: Largest number of run boundaries per mask.
        max_bad_fraction: Fraction of damaged examples above which a run stops.
    """

    parts: tuple[MixturePart, ...]
    workers: int = 0
    prefetch: int = 2
    boundaries_per_mask: int = 2048
    max_bad_fraction: float = 0.001

    def __post_init__(self):
        problems = []
        if not self.parts:
            problems.append("parts is empty: give at least one MixturePart")
        if self.workers < 0 or self.prefetch < 1:
            problems.append(
                f"workers={self.workers}, prefetch={self.prefetch}: use at least 0 and 1"
            )
        if self.boundaries_per_mask < 2 or self.boundaries_per_mask % 2:
            problems.append(
                f"boundaries_per_mask={self.boundaries_per_mask}: use an even number"
            )
        if not 0 <= self.max_bad_fraction <= 1:
            problems.append(f"max_bad_fraction={self.max_bad_fraction}: use 0 to 1")
        total = sum(part.weight for part in self.parts)
        defaults = DatasetConfig(path="any")
        for index, part in enumerate(self.parts):
            # A smaller share would be rounded to no example of a block.
            if part.weight * BLOCK < total:
                problems.append(
                    f"parts[{index}].weight={part.weight} of {total}: use at least "
                    f"one in {BLOCK}"
                )
            for name in _COMMON_FIELDS if part.data is not None else ():
                if getattr(part.data, name) != getattr(defaults, name):
                    problems.append(
                        f"parts[{index}].data.{name}: set {name} of the mixture, "
                        "which applies to all parts"
                    )
        if problems:
            raise ValueError("MixtureConfig: " + "; ".join(problems))


def open_mixture(
    config: MixtureConfig,
    *,
    image_size: int,
    masks_per_image: int,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> MixtureSource:
    """Opens a mixture as the source of one process's shard of each batch.

    Args:
        config: The mixture.
        image_size: Side of the training frame in pixels.
        masks_per_image: Mask slots of each image.
        batch_size: Images per batch, over all processes.
        seed: Seed of the assignment of examples to parts, and of the parts' order,
            masks and augmentation.
        process_index: The shard of each batch to read.
        process_count: Number of equal shards.

    Raises:
        ValueError: There is no such dataset, or the batch cannot be divided into these
            shards.
        OSError: A dataset cannot be read.
        ImportError: A package for a format is missing.
    """
    problems: list[str] = []
    sequences: list[ExampleSequence] = []
    parts: list[tuple[ExampleSource, PrepareConfig] | None] = []
    for part_index, part in enumerate(config.parts):
        # Two parts may be the same dataset: each needs an order of its own.
        part_seed = int(np.random.SeedSequence([seed, part_index]).generate_state(1)[0])
        if part.data is not None:
            data = dataclasses.replace(
                part.data, boundaries_per_mask=config.boundaries_per_mask
            )
            examples = open_examples(data)
            problems += getattr(examples, "problems", ())
            prepared = data.preparation(
                image_size=image_size, masks_per_image=masks_per_image
            )
            sequences.append(shuffled(examples, prepared, part_seed))
            parts.append((examples, prepared))
        else:
            parts.append(None)
            sequences.append(
                _scenes(
                    part,
                    image_size,
                    masks_per_image,
                    config.boundaries_per_mask,
                    part_seed,
                )
            )
    mixed = MixedExamples(
        sequences,
        [part.weight for part in config.parts],
        [part.loss_weight for part in config.parts],
        seed,
    )
    reader = BatchReader(
        mixed,
        batch_size=batch_size,
        workers=config.workers,
        prefetch=config.prefetch,
        process_index=process_index,
        process_count=process_count,
    )
    is_weighted = any(part.loss_weight != 1 for part in config.parts)
    return MixtureSource(
        reader, tuple(problems), DamageLog(parts), is_weighted=is_weighted
    )


def _scenes(
    part: MixturePart,
    image_size: int,
    masks_per_image: int,
    boundaries_per_mask: int,
    seed: int,
) -> ExampleSequence:
    # Drawing needs JAX, which workers that only read need not load.
    from samjax.data.scene_examples import SceneExamples

    # `MixturePart` has checked that a part without data has scenes.
    assert part.scenes is not None
    config = dataclasses.replace(
        part.scenes, size=image_size, num_masks=masks_per_image
    )
    return SceneExamples(
        config,
        boundaries_per_mask,
        seed,
        textures=None if part.textures is None else open_examples(part.textures),
        count=part.num_scenes,
    )


class MixtureSource:
    """An endless source of the batches of a mixture; a batch depends on the step alone.

    Args:
        reader: A reader of `MixedExamples`.
        problems: Problems met when the datasets were opened, one line each.
        damage: The log of damaged examples.
        is_weighted: Whether batches have loss weights.
    """

    def __init__(
        self,
        reader: BatchReader,
        problems: tuple[str, ...],
        damage: DamageLog,
        *,
        is_weighted: bool,
    ):
        self._reader, self.problems = reader, problems
        self._damage, self._is_weighted = damage, is_weighted

    def batch(self, step: int) -> RunBatch:
        """Returns this process's shard of the batch of one step, as NumPy arrays.

        Raises:
            RuntimeError: A worker process died.
        """
        example, weights, part = self._reader.read(step)
        batch = RunBatch(
            *example, weights=weights if self._is_weighted else None, part=part
        )
        self._damage.add(batch)
        return batch

    @property
    def num_examples(self) -> None:
        """None: an epoch of one part is no epoch of the others."""
        return None

    def damage(self) -> list[str]:
        """Describes the first damaged examples of all batches read so far."""
        return self._damage.describe()

    @property
    def position(self) -> dict[str, int]:
        """The state for a checkpoint: index of the next example, counted over all parts."""
        return self._reader.position

    def close(self) -> None:
        """Stops threads and worker processes."""
        self._reader.close()


class MixedExamples:
    """The examples of all parts in one endless sequence with random access.

    Each block of `BLOCK` examples has a fixed count of every part, by its weight
    rounded to an integer, in an order drawn per block. So the part of any example, and
    its index within that, follow without counting the examples before.

    Args:
        parts: Endless sequences of examples.
        weights: Relative number of examples of each part.
        loss_weights: Factor of the losses of each part.
        seed: Seed of the order.
    """

    def __init__(
        self,
        parts: list[ExampleSequence],
        weights: list[float],
        loss_weights: list[float],
        seed: int,
    ):
        self._parts, self._seed = tuple(parts), seed
        self._loss_weights = tuple(loss_weights)
        self._counts = _counts(np.array(weights, np.float64))

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int, /) -> tuple[Any, np.ndarray, np.ndarray]:
        part, index_in_part = self.locate(index)
        weight = np.array(self._loss_weights[part], np.float32)
        return self._parts[part][index_in_part], weight, np.array(part, np.int32)

    def locate(self, index: int) -> tuple[int, int]:
        """Returns the part of an example, and its index in the part's sequence."""
        block, row = divmod(index, BLOCK)
        parts, ranks = _block(self._counts, self._seed, block)
        part = int(parts[row])
        return part, block * self._counts[part] + int(ranks[row])


def _counts(weights: np.ndarray) -> tuple[int, ...]:
    """Returns the examples of each part in a block (largest remainder method)."""
    exact = weights / weights.sum() * BLOCK
    counts = np.floor(exact).astype(int)
    largest_remainders = np.argsort(counts - exact, kind="stable")
    counts[largest_remainders[: BLOCK - counts.sum()]] += 1
    return tuple(counts.tolist())


@functools.lru_cache(maxsize=8)
def _block(
    counts: tuple[int, ...], seed: int, block: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Returns the part of each example of a block, and its rank among that part's."""
    rng = np.random.default_rng([seed, block])
    parts = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    ranks = np.empty_like(parts)
    for part, count in enumerate(counts):
        ranks[parts == part] = np.arange(count)
    return parts, ranks
