"""Datasets to evaluate on: images with the objects to segment.

`open_dataset` opens a path with the first reader of `READERS` that takes it. To add a
layout is one file with a `Dataset` and one row of that table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from samjax.data.folders import list_files
from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.datasets.selection import Selection, folder_and_split


class Reader(NamedTuple):
    """A layout of files that datasets are read from.

    Attributes:
        takes: Whether a path is of the layout, by the names of its files.
        open: Opens such a path.
    """

    takes: Callable[[Path], bool]
    open: Callable[[Path, Selection], Dataset]


def open_dataset(path: Path, selection: Selection) -> Dataset:
    """Opens a dataset.

    Args:
        path: A folder or file.
        selection: The images and objects to score.

    Raises:
        ValueError: It is no dataset of a known layout, or has no object.
        OSError: It is not there or cannot be read.
    """
    reader = next(reader for reader in READERS.values() if reader.takes(path))
    return reader.open(path, selection)


def _open_photo_set(path: Path, selection: Selection) -> Dataset:
    from samjax.evaluation.datasets.photo_samples import PhotoSamples
    from samjax.evaluation.datasets.photo_sets import read_photo_set

    return PhotoSamples(read_photo_set(path), selection)


def _open_examples(
    path: Path, selection: Selection, format: Literal["folder", "npz"]
) -> Dataset:
    from samjax.data.finetune import open_examples
    from samjax.evaluation.datasets.examples import ExampleSamples

    name = path.resolve().name if path.is_dir() else path.stem
    source = open_examples(path, format)
    return ExampleSamples(name=name, source=source, selection=selection)


def _open_sa1b(path: Path, selection: Selection) -> Dataset:
    from samjax.data.sa1b.source import open_sa1b
    from samjax.evaluation.datasets.examples import ExampleSamples

    name = path.resolve().name if path.is_dir() else path.stem
    return ExampleSamples(name=name, source=open_sa1b(str(path)), selection=selection)


def _open_tfds(path: Path, selection: Selection) -> Dataset:
    from samjax.data.tfds.source import TfdsSource
    from samjax.evaluation.datasets.examples import ExampleSamples

    folder, split = folder_and_split(path)
    source = TfdsSource(folder, split or "train")
    name = folder.resolve().name
    return ExampleSamples(
        name=f"{name} {split}" if split else name, source=source, selection=selection
    )


def _is_tfds(path: Path) -> bool:
    """Whether a path is a dataset of TFDS, by its metadata there or below."""
    folder, _ = folder_and_split(path)
    names = ("dataset_info.json", "*/dataset_info.json", "*/*/dataset_info.json")
    return folder.is_dir() and any(any(folder.glob(name)) for name in names)


def _is_sa1b(path: Path) -> bool:
    """Whether a path is a tar or has some, or has a record beside an image."""
    if not path.is_dir():
        return path.suffix.lower() == ".tar"
    if (path / "annotations.json").is_file() or (path / "annotations").is_dir():
        return False
    if records := list_files(path, ".json"):
        return any(record.with_suffix(".jpg").is_file() for record in records[:100])
    return bool(list_files(path, ".tar"))


def _has_json(path: Path) -> bool:
    folders = (path, path / "annotations")
    return any(folder.is_dir() and list_files(folder, ".json") for folder in folders)


def _is_masks_folder(path: Path) -> bool:
    """Whether a folder has `images/` and `masks/`, and no file of COCO."""
    has_both = (path / "images").is_dir() and (path / "masks").is_dir()
    return has_both and not _has_json(path)


def _is_npz(path: Path) -> bool:
    """Whether a path is a `.npz` file, or a folder of them without a file of COCO."""
    if not path.is_dir():
        return path.suffix.lower() == ".npz"
    return not _has_json(path) and bool(list_files(path, ".npz"))


READERS: dict[str, Reader] = {
    "tfds": Reader(_is_tfds, _open_tfds),
    "sa1b": Reader(_is_sa1b, _open_sa1b),
    "folder": Reader(
        _is_masks_folder, lambda path, chosen: _open_examples(path, chosen, "folder")
    ),
    "npz": Reader(_is_npz, lambda path, chosen: _open_examples(path, chosen, "npz")),
    # Last, since its errors say what is missing in a folder of no known layout.
    "coco": Reader(lambda path: True, _open_photo_set),
}
"""The known layouts, in the order in which a path is tried."""
