"""Source of examples from SA-1B's tars, with random access and without unpacking."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.examples import RawExample, locate_in_parts
from samjax.data.sa1b.index import TarIndex, load_index
from samjax.files import open_binary, read_at


class TarSource:
    """The examples of several tars, in the order of the tars and of the images in each.

    Missing indices are built (`samjax.data.sa1b.index.load_index`), several tars at a
    time. An image without JSON, or a JSON file without image, is an example with None
    for the missing part, so that it is counted.

    A pickled copy in another process maps the index files itself. No file stays open
    between two reads, so the number of tars is not bounded by that of descriptors.

    Args:
        tars: Paths of uncompressed tars.

    Attributes:
        tars: Paths of the tars.
        damage: The damage of truncated or damaged tars, by their paths.
        problems: Problems of the tars, one line each.

    Raises:
        ValueError: A file is not a tar or a compressed one, or there are no examples in
            any.
        OSError: A tar cannot be read.
    """

    def __init__(self, tars: Sequence[str | os.PathLike]):
        self.tars = [Path(tar) for tar in tars]
        with ThreadPoolExecutor(_THREADS) as pool:
            indices = list(pool.map(load_index, self.tars))
        self._indices: list[TarIndex | None] = list(indices)
        self._stops = np.cumsum([len(index.rows) for index in indices])
        self.damage = {
            str(tar): index.damage
            for tar, index in zip(self.tars, indices, strict=True)
            if index.damage
        }
        self.problems = tuple(
            f"{tar}: {problem}"
            for tar, index in zip(self.tars, indices, strict=True)
            for problem in _problems(index)
        )
        if not len(self):
            raise ValueError(
                f"got {len(self.tars)} tars without an image or a JSON file, expected "
                "tars of SA-1B: " + ", ".join(map(str, self.tars[:3]))
            )

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, index: int, /) -> RawExample:
        """Reads one example; a part that cannot be read is None."""
        tar_index, row_index = locate_in_parts(index, self._stops)
        tar = self.tars[tar_index]
        try:
            row = self._rows(tar_index)[row_index]
            file = open_binary(tar)
        except (OSError, ValueError, IndexError) as error:
            # The tar was there when it was indexed: its disk or its mount has gone.
            return RawExample(f"{tar.name}:{index}", None, None, f"{tar}: {error}")
        try:
            return RawExample(
                name=f"{tar.name}:{row['name'].decode(errors='replace')}",
                image=_read(file, int(row["image_offset"]), int(row["image_size"])),
                record=_read(file, int(row["record_offset"]), int(row["record_size"])),
            )
        finally:
            os.close(file)

    def shard_of(self, index: int) -> str:
        """Returns the name of the tar of an example, without its ending."""
        return self.tars[locate_in_parts(index, self._stops)[0]].stem

    def __getstate__(self) -> dict[str, Any]:
        # A mapped index would be copied into the pickle; the other process maps it
        # itself. One without a file has to be copied.
        indices = [
            None if index and isinstance(index.rows, np.memmap) else index
            for index in self._indices
        ]
        return self.__dict__ | {"_indices": indices}

    def _rows(self, tar_index: int) -> np.ndarray:
        index = self._indices[tar_index]
        if index is None:
            # Two threads may both load it, with the same result.
            index = self._indices[tar_index] = load_index(self.tars[tar_index])
        return index.rows


_THREADS = 16


def _problems(index: TarIndex) -> Iterator[str]:
    if index.damage:
        yield f"{index.damage}; the {len(index.rows)} images before that are used"
    if index.long_names:
        yield f"{index.long_names} members have longer paths than files can, left out"
    if index.unpaired:
        yield f"{index.unpaired} images without JSON or JSON files without image"


# Bound on the bytes of a member, far above SA-1B's (images of 10 MB, JSON of 1 MB).
_LONGEST = 1 << 28


def _read(file: int, offset: int, size: int) -> bytes | None:
    if offset < 0:
        return None
    if size > _LONGEST:
        # Damaged bytes, which the preparation of the example reports.
        return b""
    try:
        return read_at(file, size, offset)
    except OSError:
        return None
