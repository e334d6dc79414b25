"""Raw SA-1B tars as a dataset with random access, read in place."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.examples import RawExample, place_in_parts
from samjax.data.sa1b.index import TarIndex, load_index


class TarSource:
    """The images of many tars, in the order of the tars and of the images in each.

    Indices are made where they are missing (`index.load_index`), of several tars at a
    time. An image without JSON or a JSON without image is an example too, with None
    where something is missing, so that it is counted.

    A copy that another process unpickles maps the files of the indices itself; no file
    stays open between two reads, however many tars there are.

    Args:
        tars: paths of uncompressed tars.

    Attributes:
        tars: their paths.
        damage: of tars that are cut off or have a damaged header, by their paths.
        problems: what the indices say is wrong with tars, one line each.

    Raises:
        ValueError: a path is not a tar, or of a compressed one, or there are no
            examples in any.
        OSError: a tar cannot be read.
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
        """Reads one example; what cannot be read of it is None."""
        number, place = place_in_parts(index, self._stops)
        tar = self.tars[number]
        try:
            row = self._rows(number)[place]
            file = os.open(tar, os.O_RDONLY)
        except (OSError, ValueError, IndexError) as error:
            # The tar was there when the run began: its disk or its mount has gone.
            return RawExample(f"{tar.name}:{index}", None, None, f"{tar}: {error}")
        try:
            return RawExample(
                name=f"{tar.name}:{row['name'].decode(errors='replace')}",
                image=_read(file, int(row["image_offset"]), int(row["image_size"])),
                record=_read(file, int(row["record_offset"]), int(row["record_size"])),
            )
        finally:
            os.close(file)

    def __getstate__(self) -> dict[str, Any]:
        # A mapped index would be copied into the pickle; one that no file could be
        # written for has to be.
        indices = [
            None if index and isinstance(index.rows, np.memmap) else index
            for index in self._indices
        ]
        return self.__dict__ | {"_indices": indices}

    def _rows(self, number: int) -> np.ndarray:
        index = self._indices[number]
        if index is None:
            # Two threads may both do this; they find the same.
            index = self._indices[number] = load_index(self.tars[number])
        return index.rows


_THREADS = 16


def _problems(index: TarIndex) -> Iterator[str]:
    if index.damage:
        yield f"{index.damage}; the {len(index.rows)} images before that are used"
    if index.long_names:
        yield f"{index.long_names} members have longer paths than files can, left out"
    if index.unpaired:
        yield f"{index.unpaired} images without JSON or JSON files without image"


# Far above what SA-1B has (10 MB of image, 1 MB of JSON).
_LONGEST = 1 << 28


def _read(file: int, offset: int, size: int) -> bytes | None:
    if offset < 0:
        return None
    if size > _LONGEST:
        # Neither an image nor JSON, and nothing to fill the memory with.
        return b""
    try:
        return os.pread(file, size, offset)
    except OSError:
        return None
