"""The dataset as a source of raw examples: array_record files, read without TFDS.

It reads what `samjax.data.tfds.convert` writes, and what the published builder
`segment_anything` of TFDS wrote as array_record.
"""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samjax.data.examples import RawExample, place_in_parts
from samjax.data.tfds.schema import DATASET, VERSION, read_stored

# Nothing is read ahead, since training reads in a random order.
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class Shard(NamedTuple):
    """A file of a dataset.

    Attributes:
        path: Of the file.
        examples: In it, as the dataset's metadata says.
    """

    path: Path
    examples: int


class TfdsSource:
    """The examples of a directory of TFDS that holds array_record files.

    A copy that another process unpickles opens the files itself, each when it is first
    read. What cannot be read is an example without image and record.

    Args:
        path: The directory with `dataset_info.json`, or the one above its version, or
            the one above its name.
        split: Which of its splits.

    Raises:
        ValueError: there is no such dataset, or none of this kind, or no examples.
        OSError: its metadata cannot be read.
    """

    def __init__(self, path: str | os.PathLike, split: str = "train"):
        self.shards = find_shards(path, split)
        self._stops = np.cumsum([shard.examples for shard in self.shards])
        self._forget_readers()
        if not len(self):
            raise ValueError(f"the split {split!r} of {path} has no examples")

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, index: int, /) -> RawExample:
        """Reads one example; it is empty if it cannot be read."""
        number, place = place_in_parts(index, self._stops)
        shard = self.shards[number]
        try:
            image, record = read_stored(self._reader(number).read([place])[0])
        except (ValueError, RuntimeError, OSError, IndexError) as error:
            return RawExample(f"{shard.path.name}:{place}", None, None, str(error))
        return RawExample(record["image"]["file_name"], image, record)

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards, "_stops": self._stops}

    def __setstate__(self, state: dict[str, Any]):
        self.__dict__.update(state)
        self._forget_readers()

    def _forget_readers(self):
        self._lock = threading.Lock()
        self._readers: dict[int, Any] = {}

    def _reader(self, number: int) -> Any:
        reader = self._readers.get(number)
        if reader is None:
            with self._lock:
                reader = self._readers.setdefault(
                    number, open_shard(self.shards[number].path)
                )
        return reader


def open_shard(path: Path) -> Any:
    """Opens an array_record file for reading at any place.

    Returns:
        A reader with `num_records()` and `read([place])`.

    Raises:
        ImportError: array_record is missing.
        RuntimeError: the file cannot be read, or it is damaged.
    """
    try:
        from array_record.python.array_record_module import ArrayRecordReader
    except ImportError as error:
        raise ImportError(
            "array_record files need their package: run pip install 'samjax[tfds]'",
            name="array_record",
        ) from error
    reader = ArrayRecordReader(str(path), _READER_OPTIONS)
    # A file that is cut off opens, and seems to be empty.
    if not reader.ok():
        raise RuntimeError(f"{path.name} is cut off or damaged")
    return reader


def find_shards(path: str | os.PathLike, split: str = "train") -> list[Shard]:
    """Finds the files of a dataset, in order.

    Args:
        path: as for `TfdsSource`.
        split: Which of its splits.

    Raises:
        ValueError: there is no such dataset, or none of array_record files.
        OSError: its metadata cannot be read.
    """
    folder = dataset_folder(path)
    info = json.loads((folder / "dataset_info.json").read_text())
    splits = {one["name"]: one for one in info.get("splits", [])}
    if info.get("fileFormat") != "array_record" or split not in splits:
        raise ValueError(
            f"{folder} has the splits {sorted(splits)} as {info.get('fileFormat')} "
            f"files, expected {split!r} as array_record files"
        )
    found = splits[split]
    lengths = [int(length) for length in found["shardLengths"]]
    template = found.get("filepathTemplate") or _TEMPLATE
    names = {
        "DATASET": info["name"],
        "SPLIT": split,
        "FILEFORMAT": "array_record",
    }
    shards = []
    for number, length in enumerate(lengths):
        of = f"{number:05d}-of-{len(lengths):05d}"
        values = names | {"SHARD_X_OF_Y": of}
        name = re.sub(r"\{(\w+)\}", lambda field: values[field[1]], template)  # noqa: B023
        shards.append(Shard(folder / name, length))
    return shards


def dataset_folder(path: str | os.PathLike) -> Path:
    """Returns the directory that holds a dataset's metadata, at `path` or below.

    Raises:
        ValueError: there is none.
    """
    path = Path(path)
    for folder in (path, path / VERSION, path / DATASET / VERSION):
        if (folder / "dataset_info.json").is_file():
            return folder
    begun = path / "build.json"
    remedy = (
        "it is not finished: run the same `samjax data build` again to go on"
        if begun.is_file()
        else "expected a directory that `samjax data build` or TFDS wrote"
    )
    raise ValueError(f"{path} has no dataset_info.json: {remedy}")


_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
