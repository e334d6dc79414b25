"""Vectors of masks that are kept for later runs: in memory, in a file, or in shards.

A `.safetensors` file is held in memory whole and is for thousands of images. A folder has
two files for each shard of the dataset, and only what a step needs is read:

    SHARD.keys     a header of 512 bytes, then rows: the name of a mask and a CRC
    SHARD.vectors  rows of float16, mapped into memory

Both are appended to, vectors first, so that a run which is killed leaves whole rows. Each
form has the fingerprint of all that the vectors depend on, and is refused if it is of
another one.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from samjax.checkpoints.safetensors_file import (
    Planned,
    read_safetensors,
    write_safetensors,
)
from samjax.files import json_text, locked, open_regular, replacing

FORMAT = "samjax vectors of masks"
FLUSH_EVERY = 256
"""New masks after which a sidecar is written."""
OPEN_SHARDS = 32
"""Shards whose names of masks are held in memory."""


@runtime_checkable
class Vectors(Protocol):
    """Vectors by the name of a mask, float16 (variants, e)."""

    def find(self, shard: str, key: str) -> np.ndarray | None:
        """Returns the vectors of a mask (variants, e); None if there are none."""
        ...

    def add(self, shard: str, key: str, vectors: np.ndarray) -> None:
        """Keeps the vectors of a mask, float16 (variants, e)."""
        ...

    def save(self) -> None:
        """Writes what is not yet written."""
        ...


def open_vectors(sidecar: str | None, stamp: str, shape: tuple[int, int]) -> Vectors:
    """Opens a sidecar, or an empty one.

    Args:
        sidecar: A `.safetensors` file, a folder for shards, or None for memory.
        stamp: The fingerprint of all that the vectors depend on.
        shape: Variants of a mask, and width of a vector.

    Raises:
        ValueError: It has another fingerprint, or is no sidecar.
        CheckpointError: It cannot be read.
    """
    if sidecar is None or Path(sidecar).suffix == ".safetensors":
        return WholeVectors(None if sidecar is None else Path(sidecar), stamp)
    return ShardVectors(Path(sidecar), stamp, shape)


class WholeVectors:
    """All vectors in memory, and in a file if there is one.

    Args:
        path: The file.
        stamp: The fingerprint.

    Raises:
        ValueError: The file has another fingerprint, or is no sidecar.
        CheckpointError: It cannot be read.
    """

    def __init__(self, path: Path | None, stamp: str):
        self._path, self._stamp, self._unsaved = path, stamp, 0
        self._vectors: dict[str, np.ndarray] = {}
        if path is not None and path.is_file():
            self._vectors = _read_whole(path, stamp)

    def find(self, shard: str, key: str) -> np.ndarray | None:
        """Returns the vectors of a mask (variants, e); None if there are none."""
        return self._vectors.get(key)

    def add(self, shard: str, key: str, vectors: np.ndarray) -> None:
        """Keeps the vectors of a mask, float16 (variants, e)."""
        self._vectors[key] = vectors
        self._unsaved += 1
        if self._unsaved >= FLUSH_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the file, completely or not at all."""
        if self._path is None or not self._unsaved:
            return
        plan = [Planned(key, "F16", of.shape) for key, of in self._vectors.items()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"format": FORMAT, "fingerprint": self._stamp}
        arrays = iter(self._vectors.values())
        with replacing(self._path) as hidden, hidden.open("wb") as file:
            write_safetensors(file, plan, arrays, metadata, checksums=True)
        self._unsaved = 0


class ShardVectors:
    """Vectors in two files for each shard, of which the rows that are needed are read.

    Several processes may add to one folder: a shard is locked while rows are appended.

    Args:
        folder: The folder; made when something is written.
        stamp: The fingerprint.
        shape: Variants of a mask, and width of a vector.
    """

    def __init__(self, folder: Path, stamp: str, shape: tuple[int, int]):
        self._folder, self._shape = folder, shape
        self._header = {"format": FORMAT, "fingerprint": stamp, "shape": list(shape)}
        self._open: OrderedDict[str, _Shard] = OrderedDict()
        self._unsaved: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
        if folder.is_dir():
            # A stale folder is refused at once, and not after an epoch.
            for path in sorted(folder.glob(f"*{_KEYS}"))[:1]:
                _read_keys(path, self._header)

    def find(self, shard: str, key: str) -> np.ndarray | None:
        """Returns the vectors of a mask (variants, e); None without, or if damaged.

        Raises:
            ValueError: The shard's files are of another fingerprint.
        """
        if key in self._unsaved.get(shard, {}):
            return self._unsaved[shard][key]
        if shard not in self._open:
            self._open[shard] = _open_shard(self._paths(shard), self._header)
            while len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        opened = self._open[shard]
        row = opened.rows.get(bytes.fromhex(key))
        if row is None:
            return None
        number, crc = row
        vectors = np.array(opened.vectors[number])
        return vectors if zlib.crc32(vectors.tobytes()) == crc else None

    def add(self, shard: str, key: str, vectors: np.ndarray) -> None:
        """Keeps the vectors of a mask, float16 (variants, e)."""
        self._unsaved[shard][key] = np.asarray(vectors, np.float16)
        if sum(map(len, self._unsaved.values())) >= FLUSH_EVERY:
            self.save()

    def save(self) -> None:
        """Appends what is not yet written to the files of its shards.

        Raises:
            ValueError: The shard's files are of another fingerprint.
            OSError: They cannot be written.
        """
        for shard, added in list(self._unsaved.items()):
            if added:
                self._folder.mkdir(parents=True, exist_ok=True)
                lock = self._folder / f".{shard}.lock"
                with locked(lock, f"the sidecar of {shard}", wait=True):
                    _append(self._paths(shard), self._header, added)
                self._open.pop(shard, None)
            del self._unsaved[shard]

    def _paths(self, shard: str) -> tuple[Path, Path]:
        return self._folder / f"{shard}{_KEYS}", self._folder / f"{shard}{_VECTORS}"


class _Shard(NamedTuple):
    """An open shard: row and CRC of every mask, and the rows, mapped."""

    rows: dict[bytes, tuple[int, int]]
    vectors: Any


def _open_shard(paths: tuple[Path, Path], header: dict[str, Any]) -> _Shard:
    keys, vectors = paths
    shape: Sequence[int] = header["shape"]
    listed = _read_keys(keys, header) if keys.is_file() else None
    size = vectors.stat().st_size if vectors.is_file() else 0
    # What was being appended when a run was killed has a row in one of the files only.
    count = 0 if listed is None else min(len(listed), size // (2 * math.prod(shape)))
    if listed is None or not count:
        return _Shard({}, ())
    mapped = np.memmap(vectors, np.float16, "r", shape=(count, *shape))
    rows = {
        bytes(row["key"]): (number, int(row["crc"]))
        for number, row in enumerate(listed[:count])
    }
    return _Shard(rows, mapped)


def _append(
    paths: tuple[Path, Path], header: dict[str, Any], added: dict[str, np.ndarray]
) -> None:
    """Appends rows to both files, behind the last whole one; call it with the lock."""
    row_bytes = 2 * math.prod(header["shape"])
    listed = _read_keys(paths[0], header) if paths[0].is_file() else None
    if listed is None:
        _begin(paths, header)
    with open(paths[1], "ab") as vectors:
        whole = 0 if listed is None else len(listed)
        count = min(whole, _size(vectors) // row_bytes)
        vectors.truncate(count * row_bytes)
        vectors.writelines(value.tobytes() for value in added.values())
        vectors.flush()
        os.fsync(vectors.fileno())
    rows = np.zeros(len(added), _ROW)
    rows["key"] = [np.frombuffer(bytes.fromhex(key), np.uint8) for key in added]
    rows["crc"] = [zlib.crc32(value.tobytes()) for value in added.values()]
    with open(paths[0], "ab") as keys:
        keys.truncate(_HEADER + count * _ROW.itemsize)
        keys.write(rows.tobytes())
        keys.flush()
        os.fsync(keys.fileno())


def _begin(paths: tuple[Path, Path], header: dict[str, Any]) -> None:
    """Makes the file of keys, before that of vectors: one without the other is not ours.

    Raises:
        ValueError: There is a file of vectors that samjax may not have written.
    """
    keys, vectors = paths
    if vectors.exists() and not keys.exists():
        raise ValueError(
            f"{vectors} has no {keys.name} beside it, so that samjax may not have written "
            "it: name another folder, or delete it"
        )
    with open(keys, "wb") as file:
        file.write(json_text(header).encode().ljust(_HEADER - 1) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _size(file: Any) -> int:
    return os.fstat(file.fileno()).st_size


def _read_keys(path: Path, header: dict[str, Any]) -> np.ndarray | None:
    """Reads the rows of a file of keys; None if it ends within its header."""
    with open_regular(path) as file:
        data = file.read()
    if len(data) < _HEADER:
        # A run was killed when it made the file; a foreign file is not replaced.
        if data and not data.startswith(b"{"):
            raise ValueError(f"{path} is no sidecar of vectors: name another folder")
        return None
    try:
        stored = json.loads(data[:_HEADER])
    except ValueError:
        stored = None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ValueError(f"{path} is no sidecar of vectors: name another folder")
    if stored != header:
        raise ValueError(_stale(path))
    whole = (len(data) - _HEADER) // _ROW.itemsize
    return np.frombuffer(data, _ROW, whole, _HEADER)


def _read_whole(path: Path, stamp: str) -> dict[str, np.ndarray]:
    """Reads the vectors of a file that is held in memory."""
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is no sidecar of vectors: name another file")
    if metadata.get("fingerprint") != stamp:
        raise ValueError(_stale(path))
    return {key: np.array(tensor.array()) for key, tensor in tensors.items()}


def _stale(path: Path) -> str:
    return (
        f"{path} has vectors of another CLIP, of other crops or of another seed: name "
        "another place, or delete it"
    )


_KEYS, _VECTORS = ".keys", ".vectors"
_HEADER = 512
_ROW = np.dtype([("key", "u1", 16), ("crc", "<u4")])
