"""Source of examples from array_record files of a TFDS dataset, read without TFDS.

It reads datasets of `samjax.data.tfds.convert`, and those of TFDS's published builder
`segment_anything` in the array_record format.
"""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samjax.data.examples import RawExample, locate_in_parts
from samjax.data.tfds.schema import DATASET, VERSION, read_stored

# No read-ahead, as training reads in a random order.
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class Shard(NamedTuple):
    """A file of a dataset.

    Attributes:
        path: Path of the file.
        examples: Number of its examples according to the dataset's metadata.
    """

    path: Path
    examples: int


class TfdsSource:
    """The examples of a TFDS directory with array_record files.

    A pickled copy in another process opens the files itself, each on first access. An
    example that cannot be read has neither image nor record.

    Args:
        path: The directory with `dataset_info.json`, its parent (named as the dataset)
            or its grandparent.
        split: Name of the split.

    Raises:
        ValueError: There is no such dataset, or it is of another format, or empty.
        OSError: Its metadata cannot be read.
    """

    def __init__(self, path: str | os.PathLike, split: str = "train"):
        self.shards = find_shards(path, split)
        self._stops = np.cumsum([shard.examples for shard in self.shards])
        self._reset_readers()
        if not len(self):
            raise ValueError(f"the split {split!r} of {path} has no examples")

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, index: int, /) -> RawExample:
        """Reads one example; one that cannot be read is empty."""
        shard_index, index_in_shard = locate_in_parts(index, self._stops)
        shard = self.shards[shard_index]
        try:
            data = self._reader(shard_index).read([index_in_shard])[0]
            image, record = read_stored(data)
        except (ValueError, RuntimeError, OSError, IndexError) as error:
            name = f"{shard.path.name}:{index_in_shard}"
            return RawExample(name, None, None, str(error))
        return RawExample(record["image"]["file_name"], image, record)

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards, "_stops": self._stops}

    def __setstate__(self, state: dict[str, Any]):
        self.__dict__.update(state)
        self._reset_readers()

    def _reset_readers(self):
        self._lock = threading.Lock()
        self._readers: dict[int, Any] = {}

    def _reader(self, shard_index: int) -> Any:
        reader = self._readers.get(shard_index)
        if reader is None:
            with self._lock:
                reader = self._readers.setdefault(
                    shard_index, open_shard(self.shards[shard_index].path)
                )
        return reader


def open_shard(path: Path) -> Any:
    """Opens an array_record file for random access.

    Returns:
        A reader with `num_records()` and `read([index])`.

    Raises:
        ImportError: array_record is missing.
        RuntimeError: The file cannot be read, or it is damaged.
    """
    try:
        from array_record.python.array_record_module import ArrayRecordReader
    except ImportError as error:
        raise ImportError(
            "array_record files need their package: run pip install 'samjax[tfds]'",
            name="array_record",
        ) from error
    reader = ArrayRecordReader(str(path), _READER_OPTIONS)
    # A truncated file opens without an error and appears empty.
    if not reader.ok():
        raise RuntimeError(f"{path.name} is cut off or damaged")
    return reader


def find_shards(path: str | os.PathLike, split: str = "train") -> list[Shard]:
    """Finds the files of a dataset, in order.

    Args:
        path: Path of the dataset, as for `TfdsSource`.
        split: Name of the split.

    Raises:
        ValueError: There is no such dataset, or its files are not array_record.
        OSError: Its metadata cannot be read.
    """
    folder = dataset_folder(path)
    info = json.loads((folder / "dataset_info.json").read_text())
    splits = {entry["name"]: entry for entry in info.get("splits", [])}
    if info.get("fileFormat") != "array_record" or split not in splits:
        raise ValueError(
            f"{folder} has the splits {sorted(splits)} as {info.get('fileFormat')} "
            f"files, expected {split!r} as array_record files"
        )
    lengths = [int(length) for length in splits[split]["shardLengths"]]
    template = splits[split].get("filepathTemplate") or _TEMPLATE
    names = {
        "DATASET": info["name"],
        "SPLIT": split,
        "FILEFORMAT": "array_record",
    }
    shards = []
    for index, length in enumerate(lengths):
        values = names | {"SHARD_X_OF_Y": f"{index:05d}-of-{len(lengths):05d}"}
        name = re.sub(r"\{(\w+)\}", lambda field: values[field[1]], template)  # noqa: B023
        shards.append(Shard(folder / name, length))
    return shards


def dataset_folder(path: str | os.PathLike) -> Path:
    """Returns the directory with a dataset's metadata, at `path` or below.

    Raises:
        ValueError: There is none.
    """
    path = Path(path)
    for folder in (path, path / VERSION, path / DATASET / VERSION):
        if (folder / "dataset_info.json").is_file():
            return folder
    begun = path / "build.json"
    remedy = (
        "it is not finished: run the same `samjax data build` again to resume"
        if begun.is_file()
        else "expected a directory that `samjax data build` or TFDS wrote"
    )
    raise ValueError(f"{path} has no dataset_info.json: {remedy}")


_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
