"""Mixtures of datasets and drawn scenes: which example of a batch is of which part.

The parts of a mixture are shuffled each by itself, as if it were trained on alone, so no
example comes a second time before all others of its part have come. A step is again a
function of seed, step and batch size.
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

# Examples within which the numbers of all parts are as their weights say.
BLOCK = 10_000


@dataclass(frozen=True, kw_only=True)
class MixturePart:
    """A dataset, or drawn scenes, as a part of a mixture.

    Attributes:
        weight: How many of the examples are of this part, relative to the others'.
        data: The dataset; None for drawn scenes.
        scenes: Drawn scenes, drawn by the host's CPU; each stage sets their size and
            their number of masks.
        textures: Photos that the scenes' regions are filled from, instead of what the
            scenes look like (`samjax.data.textures`); masks are not read.
        loss_weight: What the losses of this part's masks are multiplied by, such as
            less than 1 for masks that a model made.
    """

    weight: float = 1.0
    data: DatasetConfig | None = None
    scenes: SceneConfig | None = None
    textures: DatasetConfig | None = None
    loss_weight: float = 1.0

    def __post_init__(self):
        problems = []
        if (self.data is None) == (self.scenes is None):
            problems.append("give either data or scenes")
        if self.textures is not None and self.scenes is None:
            problems.append("textures are for scenes")
        if not (np.isfinite(self.weight) and self.weight > 0):
            problems.append(f"weight={self.weight}: use a number above 0")
        if not (np.isfinite(self.loss_weight) and self.loss_weight >= 0):
            problems.append(f"loss_weight={self.loss_weight}: use 0 or more")
        if problems:
            raise ValueError("MixturePart: " + "; ".join(problems))


# What a mixture says for all of its parts.
_OF_ALL = ("workers", "prefetch", "boundaries_per_mask", "max_bad_fraction")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Datasets and drawn scenes to train on together, and how they are read.

    Attributes:
        parts: What is mixed.
        workers: Processes that prepare examples; 0 prepares them in threads of this
            one. This and the next three are said here for all parts, and not by them.
        prefetch: Batches that each worker has ready, or that are ready in all without
            workers.
        boundaries_per_mask: Run boundaries kept of each mask.
        max_bad_fraction: Share of damaged examples above which a run stops.
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
        for number, part in enumerate(self.parts):
            if part.weight * BLOCK < total:
                problems.append(
                    f"parts[{number}].weight={part.weight} of {total}: use at least "
                    f"one in {BLOCK}"
                )
            for name in _OF_ALL if part.data is not None else ():
                if getattr(part.data, name) != getattr(defaults, name):
                    problems.append(
                        f"parts[{number}].data.{name}: say {name} of the mixture, "
                        "which has it for all parts"
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
    """Opens a mixture as the source of one process's part of each batch.

    Args:
        config: The mixture.
        image_size: Side of the training frame in pixels.
        masks_per_image: Slots for masks of each image.
        batch_size: Images of a batch, over all processes.
        seed: Of which part each example is of, and of the parts' order, masks and
            augmentation.
        process_index: Which part of each batch.
        process_count: Of how many equal parts.

    Raises:
        ValueError: there is no such dataset, or the batch has no such parts.
        OSError: a dataset cannot be read.
        ImportError: a package for a format is missing.
    """
    problems: list[str] = []
    sequences: list[ExampleSequence] = []
    parts: list[tuple[ExampleSource, PrepareConfig] | None] = []
    for number, part in enumerate(config.parts):
        part_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
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
        elif part.scenes is not None:
            # Drawing needs JAX, which processes that only read do without.
            from samjax.data.scene_examples import SceneExamples

            scenes = dataclasses.replace(
                part.scenes, size=image_size, num_masks=masks_per_image
            )
            textures = None if part.textures is None else open_examples(part.textures)
            parts.append(None)
            sequences.append(
                SceneExamples(
                    scenes, config.boundaries_per_mask, part_seed, textures=textures
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


class MixtureSource:
    """The batches of a mixture, without end; `batch(step)` depends on the step alone.

    Args:
        reader: Reads the batches of `MixedExamples`.
        problems: What was wrong with the datasets when they were opened.
        damage: Keeps the damaged examples.
        is_weighted: Whether batches say by what their losses are multiplied.
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
        """Returns this process's part of the batch of one step, as NumPy arrays.

        Raises:
            RuntimeError: a worker was lost.
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
        """Says what is wrong with the first damaged examples of all batches so far."""
        return self._damage.words()

    @property
    def position(self) -> dict[str, int]:
        """What a checkpoint keeps: the index of the next example, over all parts."""
        return self._reader.position

    def close(self) -> None:
        """Ends threads and workers."""
        self._reader.close()


class MixedExamples:
    """The examples of all parts in one order.

    Every `BLOCK` examples in turn have each part as often as its weight says, to the
    nearest whole number, in an order drawn for the block: any example's part, and its
    place in that, are known without those before.

    Args:
        parts: Sequences without end.
        weights: How many of the examples are of each, relative to one another.
        loss_weights: What the losses of each part are multiplied by.
        seed: Of the order.
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
        part, place = self.place(index)
        weight = np.array(self._loss_weights[part], np.float32)
        return self._parts[part][place], weight, np.array(part, np.int32)

    def place(self, index: int) -> tuple[int, int]:
        """Returns which part an example is of, and its place in the part's sequence."""
        block, row = divmod(index, BLOCK)
        parts, places = _block(self._counts, self._seed, block)
        part = int(parts[row])
        return part, block * self._counts[part] + int(places[row])


def _counts(weights: np.ndarray) -> tuple[int, ...]:
    """Examples of each part in a block: the shares rounded so that they add up."""
    exact = weights / weights.sum() * BLOCK
    counts = np.floor(exact).astype(int)
    most_left = np.argsort(counts - exact, kind="stable")
    counts[most_left[: BLOCK - counts.sum()]] += 1
    return tuple(counts.tolist())


@functools.lru_cache(maxsize=8)
def _block(
    counts: tuple[int, ...], seed: int, number: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The part of each example of a block, and how many of it come before."""
    rng = np.random.default_rng([seed, number])
    parts = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    places = np.empty_like(parts)
    for part, count in enumerate(counts):
        places[parts == part] = np.arange(count)
    return parts, places
