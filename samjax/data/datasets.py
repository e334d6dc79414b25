"""Datasets as training batches: any order of any epoch, from the step alone.

Grain shuffles by index, so that the rows of a step are a function of seed, step and batch
size; how they are read ahead and shared among processes is in `batch_reader`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from samjax.data.batch import RunBatch
from samjax.data.batch_reader import BatchReader
from samjax.data.colour import jitter_colours
from samjax.data.copy_paste import donor_config, paste_objects
from samjax.data.examples import ExampleSource
from samjax.data.prepare import Example, PrepareConfig, prepare
from samjax.data.problems import DamageLog


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """A dataset to train on, and how it is read.

    Attributes:
        path: Where it is. For `"sa1b"` a folder of tars or of extracted files, a tar, a
            pattern, or several of these; otherwise a folder, or the JSON file of COCO.
        format: `"sa1b"`: SA-1B as published; `"tfds"`: a folder that `samjax data build`
            or TFDS wrote; `"coco"`, `"folder"`, `"npz"`: as `samjax.data.finetune` has
            them.
        workers: Processes that prepare examples; 0 prepares them in threads of this
            one. Neither changes what is read.
        prefetch: Batches that each worker has ready, or that are ready in all without
            workers.
        flip: Whether half of the images are mirrored.
        jitter: Bounds of the scale of large-scale jitter, or None for none.
        largest_mask: Share of the image above which a mask is left out, or None.
        smallest_mask: Pixels in the training frame below which a mask is left out, or
            None.
        copy_paste: Chance that objects of another image of the dataset are pasted on
            an image; 0 for none (`samjax.data.copy_paste`).
        colour_jitter: Strength of the jitter of brightness, contrast and saturation, 0
            for none (`samjax.data.colour`).
        greyscale: Chance that an image loses its colours.
        boundaries_per_mask: Run boundaries kept of each mask.
        validation_fraction: Part of the images that is held out, chosen by the hash of
            their names. This and the next two are for `coco`, `folder` and `npz`.
        limit: Most examples to train on, or None for all; what is held out stays.
        separate: Whether each connected region of a label map is an object by itself.
        unlabelled: Whether images without a mask are kept, for what needs images alone.
            This and the next three are for `coco`.
        crowds: Whether masks with `iscrowd` are objects: regions of many objects, or
            brushed masks, which some tools mark so. They are in any case where the file
            has no others.
        exclude_licences: Licences whose images are left out, by the number that the
            file gives them or by name: `("5", "CC BY-SA")`.
        images: Folder that the file's names of images start from, where it is none of
            those near the file.
        max_bad_fraction: Share of damaged examples above which a run stops.
    """

    path: str | tuple[str, ...]
    format: Literal["sa1b", "tfds", "coco", "folder", "npz"] = "sa1b"
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
            problems.append("path is empty: name the dataset")
        if self.format != "sa1b" and not isinstance(self.path, str):
            problems.append(f"path={self.path}: {self.format} takes one path")
        if self.workers < 0 or self.prefetch < 1:
            problems.append(
                f"workers={self.workers}, prefetch={self.prefetch}: use at least 0 and 1"
            )
        is_users = self.format in ("coco", "folder", "npz")
        if not is_users and (self.validation_fraction or self.limit or self.separate):
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
        """Whether an image is another one whenever it comes."""
        chances = (self.copy_paste, self.colour_jitter, self.greyscale)
        return self.flip or self.jitter is not None or any(chances)

    def preparation(self, *, image_size: int, masks_per_image: int) -> PrepareConfig:
        """Returns what becomes of each example, for these shapes of a batch.

        Raises:
            ValueError: an option or a shape is out of bounds.
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
    """Opens a dataset as the source of one process's part of each batch.

    Args:
        config: The dataset.
        image_size: Side of the training frame in pixels.
        masks_per_image: Slots for masks of each image.
        batch_size: Images of a batch, over all processes.
        seed: Of order, masks, flips and jitter.
        process_index: Which part of each batch.
        process_count: Of how many equal parts.

    Raises:
        ValueError: there is no such dataset, or the batch has no such parts.
        OSError: it cannot be read.
        ImportError: a package for its format is missing.
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
    """Opens a dataset as raw examples.

    Args:
        config: The dataset.
        part: What is trained on, or what is held out of it.

    Raises:
        ValueError: there is no such dataset.
        OSError: it cannot be read.
        ImportError: a package for its format is missing.
    """
    # Each format has packages of its own, which the others do without.
    if config.format == "sa1b":
        from samjax.data.sa1b.source import open_sa1b

        return open_sa1b(config.path)
    # One path: the config holds that.
    path = str(config.path)
    if config.format == "tfds":
        from samjax.data.tfds.source import TfdsSource

        return TfdsSource(path)
    from samjax.data import finetune

    source = finetune.open_examples(
        path,
        config.format,
        separate=config.separate,
        unlabelled=config.unlabelled,
        crowds=config.crowds,
        exclude_licences=config.exclude_licences,
        images=config.images,
    )
    trained, held_out = finetune.split_examples(
        source, config.validation_fraction, limit=config.limit
    )
    return trained if part == "train" else held_out


class DatasetSource:
    """The batches of a dataset, shuffled anew in each epoch, without end.

    `batch(step)` depends on seed and step alone. Steps in order are read ahead; another
    step than the next starts reading there. With workers, the program must have the
    `if __name__ == "__main__":` guard that starting processes takes.

    Args:
        examples: The dataset.
        config: What becomes of each example.
        batch_size: Images of a batch, over all processes.
        seed: Of order and preparation.
        workers: Processes that prepare examples; 0 for threads.
        prefetch: Batches ready ahead, for each worker.
        process_index: Which part of each batch.
        process_count: Of how many equal parts.

    Raises:
        ValueError: the batch has no such parts, or there are no examples.
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
        """Returns this process's part of the batch of one step, as NumPy arrays.

        Raises:
            RuntimeError: a worker was lost.
        """
        batch = RunBatch(*self._reader.read(step))
        self._damage.add(batch)
        return batch

    def damage(self) -> list[str]:
        """Says what is wrong with the first damaged examples of all batches so far."""
        return self._damage.words()

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
        """What a checkpoint keeps: the index of the next example, over all epochs."""
        return self._reader.position

    def close(self) -> None:
        """Ends threads and workers."""
        self._reader.close()


def shuffled(examples: ExampleSource, config: PrepareConfig, seed: int) -> Any:
    """Returns the examples of a dataset without end, each epoch in an order of its own.

    Args:
        examples: The dataset.
        config: What becomes of each example.
        seed: Of order and preparation.

    Returns:
        A sequence of `Example`, as `samjax.data.batch_reader` takes it.

    Raises:
        ValueError: there are no examples.
    """
    import grain

    if not len(examples):
        raise ValueError("the dataset has no examples")
    indices = grain.MapDataset.range(len(examples)).seed(seed).shuffle().repeat()
    return indices.random_map(_Prepare(examples, config))


class _Prepare:
    """Reads, prepares and augments the example of an index; goes to the workers."""

    def __init__(self, examples: ExampleSource, config: PrepareConfig):
        self._examples, self._config = examples, config

    def __call__(self, index: int, rng: np.random.Generator) -> Example:
        config = self._config
        example = prepare(self._examples[index], config, rng, index)
        if config.copy_paste and rng.random() < config.copy_paste:
            other = int(rng.integers(max(1, len(self._examples) - 1)))
            other += other >= index and len(self._examples) > 1
            donor = prepare(self._examples[other], donor_config(config), rng, other)
            example = paste_objects(example, donor, config, rng)
        if config.colour_jitter or config.greyscale:
            height, width = example.size
            shown = example.image[:height, :width]
            shown[...] = jitter_colours(
                shown, config.colour_jitter, config.greyscale, rng
            )
        return example
