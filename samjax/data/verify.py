"""Verification of a dataset: reads every example as training does and reports damage."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from samjax.data.datasets import DatasetConfig, Format, open_whole
from samjax.data.examples import ExampleSource
from samjax.data.prepare import PrepareConfig, diagnose

# The input size of the released models, and more masks than nearly any image has.
_PREPARE = PrepareConfig(image_size=1024, masks_per_image=512)


class OpenedDataset(NamedTuple):
    """A dataset to verify.

    Attributes:
        examples: The examples of the dataset.
        problems: Parts of the dataset that were left out when it was opened, one line
            each.
        notes: Remarks on how the files were interpreted, one line each.
    """

    examples: ExampleSource
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def open_for_verification(
    path: str | os.PathLike, format: Literal["sa1b", "coco", "folder", "npz"]
) -> OpenedDataset:
    """Opens a dataset and collects the problems and notes of opening it.

    Raises:
        ValueError: There is no such dataset, or no part of it can be used.
        OSError: The dataset cannot be read.
    """
    with warnings.catch_warnings():
        # Problems are returned, so the warnings would repeat them.
        warnings.simplefilter("ignore", UserWarning)
        examples = open_whole(DatasetConfig(path=str(path), format=format))
    return OpenedDataset(
        examples,
        tuple(getattr(examples, "problems", ())),
        tuple(getattr(examples, "notes", ())),
    )


def verify_examples(examples: ExampleSource, *, every: int = 1) -> Iterator[str | None]:
    """Reads examples as training does, images and masks.

    Args:
        examples: The examples of a dataset.
        every: Stride: checks every n-th example.

    Yields:
        A description of the damage of each example, None for a sound one.
    """
    for index in range(0, len(examples), every):
        yield diagnose(examples[index], _PREPARE)


def guess_format(path: str | os.PathLike) -> Format:
    """Detects the format of a dataset by its file name or the names in its folder.

    Raises:
        ValueError: The format is not recognized.
        OSError: The path does not exist or cannot be read.
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
    names_of_tfds = {"1.0.0", "segment_anything", "dataset_info.json", "build.json"}
    if names & names_of_tfds:
        return "tfds"
    if {"images", "masks"} <= names:
        return "folder"
    suffixes = {Path(name).suffix.lower() for name in names}
    if ".npz" in suffixes:
        return "npz"
    if ".tar" in suffixes:
        return "sa1b"
    if ".json" in suffixes or "annotations" in names:
        # SA-1B has one JSON file per image, COCO one for all images.
        json_files = sum(name.endswith(".json") for name in names)
        return "sa1b" if json_files > 1 else "coco"
    raise ValueError(
        f"{path} looks like no dataset: expected dataset_info.json (TFDS), images/ and "
        "masks/, a JSON file of COCO, .npz files or tars, or --format"
    )
