"""Reads a dataset as training does, example by example, and says what is wrong with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from samjax.data.datasets import DatasetConfig, open_examples
from samjax.data.examples import ExampleSource
from samjax.data.prepare import PrepareConfig, diagnose

Format = Literal["sa1b", "tfds", "coco", "folder", "npz"]

# The frame of the published models, and all masks of nearly every image.
_PREPARE = PrepareConfig(image_size=1024, masks_per_image=512)


class Opened(NamedTuple):
    """A dataset that is to be looked at.

    Attributes:
        examples: Of the dataset.
        problems: What was left out when it was opened, a line each.
        notes: How it was understood, a line each.
    """

    examples: ExampleSource
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def open_for_verification(
    path: str | os.PathLike, format: Literal["sa1b", "coco", "folder", "npz"]
) -> Opened:
    """Opens a dataset, and keeps what there is to say of it.

    Raises:
        ValueError: there is no such dataset, or nothing of it can be used.
        OSError: it cannot be read.
    """
    if format == "sa1b":
        examples = open_examples(DatasetConfig(path=str(path), format="sa1b"))
    else:
        from samjax.data import finetune

        with warnings.catch_warnings():
            # What is warned of is returned.
            warnings.simplefilter("ignore", UserWarning)
            examples = finetune.open_examples(path, format)
    return Opened(
        examples,
        tuple(getattr(examples, "problems", ())),
        tuple(getattr(examples, "notes", ())),
    )


def verify_examples(examples: ExampleSource, *, every: int = 1) -> Iterator[str | None]:
    """Reads examples as training does, images and masks.

    Args:
        examples: Of a dataset.
        every: Looks at every so many.

    Yields:
        What is wrong with an example, None where nothing is.
    """
    for index in range(0, len(examples), every):
        yield diagnose(examples[index], _PREPARE)


def guess_format(path: str | os.PathLike) -> Format:
    """Tells what a dataset is by what lies there.

    Raises:
        ValueError: it looks like none.
        OSError: it is not there or cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        path.open("rb").close()
        by_suffix: dict[str, Format] = {
            ".npz": "npz",
            ".tar": "sa1b",
            ".json": "coco",
        }
        if path.suffix.lower() in by_suffix:
            return by_suffix[path.suffix.lower()]
        raise ValueError(
            f"{path} is no dataset by its name: expected .json (COCO), .npz or .tar, or "
            "--format"
        )
    names = {item.name for item in path.iterdir()}
    below = {"1.0.0", "segment_anything", "dataset_info.json", "build.json"}
    if names & below:
        return "tfds"
    if {"images", "masks"} <= names:
        return "folder"
    suffixes = {Path(name).suffix.lower() for name in names}
    if ".npz" in suffixes:
        return "npz"
    if ".tar" in suffixes:
        return "sa1b"
    if ".json" in suffixes or "annotations" in names:
        alike = sum(name.endswith(".json") for name in names)
        return "sa1b" if alike > 1 else "coco"
    raise ValueError(
        f"{path} looks like no dataset: expected dataset_info.json (TFDS), images/ and "
        "masks/, a JSON file of COCO, .npz files or tars, or --format"
    )
