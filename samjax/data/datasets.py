"""Datasets as sources of shuffled training batches.

Grain shuffles by index, so the rows of a step are a function of seed, step and batch
size. `samjax.data.batch_reader` prefetches batches and shards them over processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from samjax.data.batch import RunBatch
from samjax.data.batch_reader import BatchReader
from samjax.data.colour import jitter_colours
from samjax.data.copy_paste import donor_config, paste_objects
from samjax.data.examples import Example, ExampleSource
from samjax.data.prepare import PrepareConfig, prepare
from samjax.data.problems import DamageLog

Format = Literal["sa1b", "tfds", "coco", "folder", "npz"]

# Formats of fine-tuning datasets, which can be split and limited.
_FINETUNING_FORMATS = ("coco", "folder", "npz")


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """A training dataset and the options for reading it.

    Attributes:
        path: Path of the dataset. For `"sa1b"` a folder of tars or of extracted files,
            a tar, a glob pattern, or several of these; otherwise a folder, or COCO's
            JSON file.
        format: `"sa1b"`: SA-1B as published; `"tfds"`: a folder written by `samjax data
            build` or TFDS; `"coco"`, `"folder"`, `"npz"`: as in `samjax.data.finetune`.
        workers: Number of processes that prepare examples; 0 uses threads of this
            process. The batches are the same.
        prefetch: Number of prefetched batches, per worker, or in total without workers.
        flip: Whether to mirror images left to right with probability 0.5.
        jitter: Bounds of the scale of large-scale jitter; None for none.
        largest_mask: Fraction of the image area above which a mask is left out; None
            for no bound.
        smallest_mask: Area in pixels of the training frame below which a mask is left
            out; None for no bound.
        copy_paste: Probability that objects of another image of the dataset are pasted
            on an image (`samjax.data.copy_paste`).
        colour_jitter: Strength of the jitter of brightness, contrast and saturation, 0
            for none (`samjax.data.colour`).
        greyscale: Probability that an image is converted to grey.
        boundaries_per_mask: Largest number of run boundaries per mask.
        validation_fraction: Fraction of the images that is held out, chosen by the hash
            of their names. This and the next two are for `coco`, `folder` and `npz`.
        limit: Largest number of training examples, or None for all; the held-out part
            does not depend on it.
        separate: Whether each connected region of a label map is an object of its own.
        unlabelled: Whether to keep images without a mask, for uses that read images
            only. This and the next three are for `coco`.
        crowds: Whether masks with `iscrowd` are objects: regions of many objects, or
            masks painted with a brush, which some tools mark so. If a file has no other
            masks, they always are.
        exclude_licences: Licences whose images are left out, by their id in the file or
            by name: `("5", "CC BY-SA")`.
        images: Folder to which the file names in the annotation file are relative, if
            it is none of the usual ones beside that file.
        max_bad_fraction: Fraction of damaged examples above which a run stops.
    """

    path: str | tuple[str, ...]
    format: Format = "sa1b"
    workers: int = 0
    prefetch: int = 2
    flip: bool = False
    jitter: tuple[float, float] | None = None
    largest_mask: float | None = None
    smallest_mask: int | None = None
    copy_paste: float = 0.0
    colour_jitter: float = 0.0
    greyscale: float = 0.0
    boundaries_per_mask: int = 2048
    validation_fraction: float = 0.0
    limit: int | None = None
    separate: bool = False
    unlabelled: bool = False
    crowds: bool = False
    exclude_licences: tuple[str, ...] = ()
    images: str | None = None
    max_bad_fraction: float = 0.001

    def __post_init__(self):
        problems = []
        if not self.path:
            problems.append("path is empty: give the path of the dataset")
        if self.format != "sa1b" and not isinstance(self.path, str):
            problems.append(f"path={self.path}: {self.format} takes one path")
        if self.workers < 0 or self.prefetch < 1:
            problems.append(
                f"workers={self.workers}, prefetch={self.prefetch}: use at least 0 and 1"
            )
        is_finetuning = self.format in _FINETUNING_FORMATS
        if not is_finetuning and (
            self.validation_fraction or self.limit or self.separate
        ):
            problems.append(
                "validation_fraction, limit and separate are for coco, folder and npz, "
                f"not for {self.format}"
            )
        is_of_coco = (
            self.unlabelled
            or self.crowds
            or self.exclude_licences
            or self.images is not None
        )
        if self.format != "coco" and is_of_coco:
            problems.append(
                "unlabelled, crowds, exclude_licences and images are for coco, not for "
                f"{self.format}"
            )
        if not 0 <= self.max_bad_fraction <= 1:
            problems.append(f"max_bad_fraction={self.max_bad_fraction}: use 0 to 1")
        if problems:
            raise ValueError("DatasetConfig: " + "; ".join(problems))
        self.preparation(image_size=1, masks_per_image=1)

    @property
    def augments(self) -> bool:
        """Whether an image differs from epoch to epoch."""
        chances = (self.copy_paste, self.colour_jitter, self.greyscale)
        return self.flip or self.jitter is not None or any(chances)

    def preparation(self, *, image_size: int, masks_per_image: int) -> PrepareConfig:
        """Returns the preparation of each example, for these shapes of a batch.

        Raises:
            ValueError: An option or a shape is out of bounds.
        """
        return PrepareConfig(
            image_size=image_size,
            masks_per_image=masks_per_image,
            boundaries_per_mask=self.boundaries_per_mask,
            largest_mask=self.largest_mask,
            smallest_mask=self.smallest_mask,
            copy_paste=self.copy_paste,
            colour_jitter=self.colour_jitter,
            greyscale=self.greyscale,
            flip=self.flip,
            jitter=self.jitter,
        )


def open_source(
    config: DatasetConfig,
    *,
    image_size: int,
    masks_per_image: int,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> DatasetSource:
    """Opens a dataset as the source of one process's shard of each batch.

    Args:
        config: The dataset.
        image_size: Side of the training frame in pixels.
        masks_per_image: Mask slots of each image.
        batch_size: Images per batch, over all processes.
        seed: Seed of the order, the choice of masks, flips and jitter.
        process_index: The shard of each batch to read.
        process_count: Number of equal shards.

    Raises:
        ValueError: There is no such dataset, or the batch cannot be divided into these
            shards.
        OSError: The dataset cannot be read.
        ImportError: A package for its format is missing.
    """
    return DatasetSource(
        open_examples(config),
        config.preparation(image_size=image_size, masks_per_image=masks_per_image),
        batch_size=batch_size,
        seed=seed,
        workers=config.workers,
        prefetch=config.prefetch,
        process_index=process_index,
        process_count=process_count,
    )


def open_examples(
    config: DatasetConfig, part: Literal["train", "validation"] = "train"
) -> ExampleSource:
    """Opens a dataset, or the part of it that is held out, as raw examples.

    Args:
        config: The dataset.
        part: The training part, or the part held out for validation.

    Raises:
        ValueError: There is no such dataset.
        OSError: The dataset cannot be read.
        ImportError: A package for its format is missing.
    """
    source = open_whole(config)
    if config.format not in _FINETUNING_FORMATS:
        return source
    from samjax.data.finetune import split_examples
    from samjax.data.finetune.split import GroupedSource

    # All sources of these formats have groups; the type checker is told so.
    assert isinstance(source, GroupedSource)
    trained, held_out = split_examples(
        source, config.validation_fraction, limit=config.limit
    )
    return trained if part == "train" else held_out


def open_whole(config: DatasetConfig) -> ExampleSource:
    """Opens a dataset as raw examples, without a split.

    Args:
        config: The dataset; its `validation_fraction` and `limit` are not applied.

    Raises:
        ValueError: There is no such dataset.
        OSError: The dataset cannot be read.
        ImportError: A package for its format is missing.
    """
    # Imported where used: each format needs packages that the others do not.
    if config.format == "sa1b":
        from samjax.data.sa1b.source import open_sa1b

        return open_sa1b(config.path)
    # `DatasetConfig` has checked that these formats have a single path.
    path = str(config.path)
    if config.format == "tfds":
        from samjax.data.tfds.source import TfdsSource

        return TfdsSource(path)
    from samjax.data import finetune

    return finetune.open_examples(
        path,
        config.format,
        separate=config.separate,
        unlabelled=config.unlabelled,
        crowds=config.crowds,
        exclude_licences=config.exclude_licences,
        images=config.images,
    )


class DatasetSource:
    """An endless source of the batches of a dataset, reshuffled in each epoch.

    `batch(step)` depends on seed and step alone. Consecutive steps are prefetched;
    reading any other step restarts the prefetching there. With workers, the main module
    needs the `if __name__ == "__main__":` guard, as worker processes import it.

    Args:
        examples: The dataset.
        config: Preparation of each example.
        batch_size: Images per batch, over all processes.
        seed: Seed of the order and of the preparation.
        workers: Number of processes that prepare examples; 0 for threads.
        prefetch: Number of prefetched batches, per worker.
        process_index: The shard of each batch to read.
        process_count: Number of equal shards.

    Raises:
        ValueError: The batch cannot be divided into these shards, or there are no
            examples.
    """

    def __init__(
        self,
        examples: ExampleSource,
        config: PrepareConfig,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
        prefetch: int = 2,
        process_index: int = 0,
        process_count: int = 1,
    ):
        self.examples = examples
        self._damage = DamageLog([(examples, config)])
        self._reader = BatchReader(
            shuffled(examples, config, seed),
            batch_size=batch_size,
            workers=workers,
            prefetch=prefetch,
            process_index=process_index,
            process_count=process_count,
        )

    def batch(self, step: int) -> RunBatch:
        """Returns this process's shard of the batch of one step, as NumPy arrays.

        Raises:
            RuntimeError: A worker process died.
        """
        batch = RunBatch(*self._reader.read(step))
        self._damage.add(batch)
        return batch

    def damage(self) -> list[str]:
        """Describes the first damaged examples of all batches read so far."""
        return self._damage.describe()

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems found when the dataset was opened, one line each."""
        return tuple(getattr(self.examples, "problems", ()))

    @property
    def num_examples(self) -> int:
        """Examples of the dataset, damaged ones included."""
        return len(self.examples)

    @property
    def position(self) -> dict[str, int]:
        """The state for a checkpoint: index of the next example, counted over all epochs."""
        return self._reader.position

    def close(self) -> None:
        """Stops threads and worker processes."""
        self._reader.close()


def shuffled(examples: ExampleSource, config: PrepareConfig, seed: int) -> Any:
    """Returns the endless sequence of a dataset's examples, reshuffled in each epoch.

    Args:
        examples: The dataset.
        config: Preparation of each example.
        seed: Seed of the order and of the preparation.

    Returns:
        A sequence of `Example`, for `samjax.data.batch_reader.BatchReader`.

    Raises:
        ValueError: There are no examples.
    """
    import grain

    if not len(examples):
        raise ValueError("the dataset has no examples")
    indices = grain.MapDataset.range(len(examples)).seed(seed).shuffle().repeat()
    return indices.random_map(_Prepare(examples, config))


class _Prepare:
    """Reads, prepares and augments the example of an index; pickled to the workers."""

    def __init__(self, examples: ExampleSource, config: PrepareConfig):
        self._examples, self._config = examples, config

    def __call__(self, index: int, rng: np.random.Generator) -> Example:
        config = self._config
        example = prepare(self._examples[index], config, rng, index)
        if config.copy_paste and rng.random() < config.copy_paste:
            # Uniform over all examples but this one: draw from one fewer, and shift
            # those from `index` on.
            other = int(rng.integers(max(1, len(self._examples) - 1)))
            other += other >= index and len(self._examples) > 1
            donor = prepare(self._examples[other], donor_config(config), rng, other)
            example = paste_objects(example, donor, config, rng)
        if config.colour_jitter or config.greyscale:
            height, width = example.size
            # The padding stays zero.
            visible = example.image[:height, :width]
            visible[...] = jitter_colours(
                visible, config.colour_jitter, config.greyscale, rng
            )
        return example
