"""An index of a tar of SA-1B: which image and which JSON are where.

It is made from the headers alone, in a quarter of a second for a tar of 10 GB, and kept in
a file beside the tar (or in samjax's cache folder where that cannot be written), which
is read again for as long as the tar has the same size and time. The file is one line of
JSON and then the rows, so that all processes of a machine map it and share its memory.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from samjax.data.folders import SUFFIXES
from samjax.data.sa1b.headers import (
    DamagedTar,
    Member,
    open_tar,
    read_members,
)
from samjax.files import cache_folder, json_text, replacing


class TarIndex(NamedTuple):
    """What a tar holds.

    Attributes:
        rows: One for each image, JSON or pair of them, in the order of the tar:
            `name` (path in the tar without suffix), `image_offset`, `image_size`,
            `record_offset` and `record_size`; an offset of -1 where one is missing.
        damage: What is wrong with the tar and where, or None; `rows` has what lies
            before that.
        long_names: Members whose path no file can have, which are left out.
    """

    rows: np.ndarray
    damage: str | None
    long_names: int = 0

    @property
    def unpaired(self) -> int:
        """Rows of which the image or the JSON is missing."""
        missing = (self.rows["image_offset"] < 0) | (self.rows["record_offset"] < 0)
        return int(np.sum(missing))


def load_index(tar: str | os.PathLike) -> TarIndex:
    """Returns the index of a tar from its file, making that where it is missing or old.

    Raises:
        ValueError: the file is no tar, or a compressed one.
        OSError: it cannot be read.
    """
    tar = Path(tar)
    state = _state(tar)
    places = (tar.with_name(tar.name + _SUFFIX), _place_in_cache(tar))
    for place in places:
        if (index := _read(place, state)) is not None:
            return index
    index = build_index(tar)
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(place, index, state)
        except OSError:
            continue
        # Mapped, as it will be the next time.
        return _read(place, state) or index
    return index


def build_index(tar: str | os.PathLike) -> TarIndex:
    """Makes the index of a tar, and leaves no file.

    Images and JSON files are paired by their paths without suffixes, wherever in the
    tar they lie; of two members with one path the later counts, as when unpacking.
    Members that are neither are left out, and those whose path no file can have.

    Raises:
        ValueError: the file is no tar, or a compressed one.
        OSError: it cannot be read.
    """
    tar = Path(tar)
    members: list[Member] = []
    damage = None
    with open_tar(tar) as stream:
        file = stream.fileno()
        _refuse_compressed(tar, os.pread(file, 8, 0))
        try:
            members.extend(read_members(file, os.fstat(file).st_size))
        except DamagedTar as error:
            damage = str(error)
            if error.position == 0 and os.fstat(file).st_size:
                raise ValueError(
                    f"{tar} is not a tar: expected an uncompressed tar of images and "
                    "JSON files"
                ) from error
    named = [member for member in members if len(member.name) <= LONGEST_PATH]
    return TarIndex(_pair(named), damage, len(members) - len(named))


LONGEST_PATH = 4096
"""Bytes of a path on Linux. All rows of an index are as wide as its longest name."""


_SUFFIX = ".samjax-index"
_VERSION = 2
_LINE = 512
# First bytes -> the program that unpacks such a file, and the ending that it insists on.
_COMPRESSED = {
    b"\x1f\x8b": ("gzip -d", ".gz"),
    b"BZh": ("bzip2 -d", ".bz2"),
    b"\xfd7zXZ": ("xz -d", ".xz"),
    b"\x28\xb5\x2f\xfd": ("zstd -d", ".zst"),
    b"\x04\x22\x4d\x18": ("lz4 -d", ".lz4"),
    b"PK": ("unzip", ""),
}


def _refuse_compressed(tar: Path, start: bytes) -> None:
    for magic, (program, ending) in _COMPRESSED.items():
        if start.startswith(magic):
            packed = tar.with_name(tar.name + ending)
            name, other = shlex.quote(str(tar)), shlex.quote(str(packed))
            rename = f"mv {name} {other} && " if ending else ""
            raise ValueError(
                f"{tar} is compressed, expected an uncompressed tar, which can be read "
                f"at any place: run `{rename}{program} {other}` once"
            )


def _pair(members: Iterable[Member]) -> np.ndarray:
    pairs: dict[bytes, list[int]] = {}
    for name, offset, size, _ in members:
        stem, dot, suffix = name.rpartition(b".")
        first = _FIRST_FIELD.get(suffix.lower())
        # A name that starts with a dot has no stem: macOS leaves `._NAME` in its tars.
        if first is None or not dot or stem.rpartition(b"/")[2][:1] in (b"", b"."):
            continue
        while stem.startswith((b"./", b"/")):
            stem = stem[2:] if stem.startswith(b"./") else stem[1:]
        pairs.setdefault(stem, [-1, 0, -1, 0])[first : first + 2] = offset, size
    longest = max(map(len, pairs), default=1)
    rows = np.zeros(len(pairs), _row(longest))
    rows["name"] = list(pairs)
    places = np.array(list(pairs.values()), np.int64).reshape(-1, 4)
    for column, field in enumerate(_FIELDS):
        rows[field] = places[:, column]
    return rows


_FIELDS = ("image_offset", "image_size", "record_offset", "record_size")
_FIRST_FIELD = {suffix[1:].encode(): 0 for suffix in SUFFIXES} | {b"json": 2}


def _row(name_bytes: int) -> np.dtype:
    return np.dtype(
        [("name", f"S{name_bytes}"), *((field, "<i8") for field in _FIELDS)]
    )


def _state(tar: Path) -> dict[str, Any]:
    status = tar.stat()
    return {
        "samjax tar index": _VERSION,
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }


def _write(place: Path, index: TarIndex, state: dict[str, Any]) -> None:
    content = state | {
        "rows": len(index.rows),
        "name_bytes": index.rows.dtype["name"].itemsize,
        "damage": index.damage,
        "long_names": index.long_names,
    }
    line = json_text(content).encode().ljust(_LINE - 1) + b"\n"
    with replacing(place) as hidden, open(hidden, "wb") as file:
        file.write(line)
        file.write(index.rows.tobytes())


def _read(place: Path, state: dict[str, Any]) -> TarIndex | None:
    """Reads the file of an index, if it is whole and of the tar as it is now."""
    try:
        with open(place, "rb") as file:
            content = json.loads(file.read(_LINE))
        if {key: content[key] for key in state} != state:
            return None
        kind, number = _row(content["name_bytes"]), content["rows"]
        rows = np.zeros(0, kind)
        if number:
            # Fails where the file is shorter.
            rows = np.memmap(place, kind, "r", offset=_LINE, shape=(number,))
        return TarIndex(rows, content["damage"], content["long_names"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place_in_cache(tar: Path) -> Path:
    path = str(tar.resolve())
    name = (
        f"{PurePosixPath(path).name}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    )
    return cache_folder() / "tar_index" / (name + _SUFFIX)
