"""MedSAM's npz files, images or volumes with label maps, as a source of examples."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from samjax.data.bounds import BYTES, max_bytes
from samjax.data.examples import RawExample
from samjax.data.finetune.reading import (
    nothing_usable,
    record_of_labels,
    report_problems,
)
from samjax.data.pixels import to_eight_bits

# A volume of 512 x 512 and a thousand slices in 16 bits fits; what unpacks to more than
# this does not get the chance.
_MOST_BYTES = 1 << 30


# What zipfile and NumPy raise for files that are damaged, encrypted, or no npz files.
_DAMAGES = (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, zlib.error)


class NpzSource:
    """Examples of npz files with `imgs` and `gts`, a slice of a volume each.

    Labels are read once, when the source is made, to find the slices that have any.
    Files are read again for each example: a compressed file has no place to start from.

    Args:
        path: Of an `.npz` file, or of a folder of them.
        separate: Whether each connected region of a label is an object by itself.

    Attributes:
        groups: For each example, what must stay together in a split: its file's name,
            so that no volume is on both sides.
        problems: Files that were left out, and why.

    Raises:
        ValueError: There are no such files, or none of them has a label.
        OSError: It is not there or cannot be read.
    """

    def __init__(self, path: str | os.PathLike, *, separate: bool = False):
        path = Path(path)
        files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        problems: list[str] = []
        slices: list[_Slice] = []
        for file in files:
            try:
                slices += _slices(file)
            except ValueError as error:
                problems.append(str(error))
        if not slices:
            raise nothing_usable(path, "no npz file with imgs and gts", problems)
        self._slices, self._separate = tuple(slices), separate
        self.groups = tuple(part.file.stem for part in slices)
        self.problems = tuple(problems)
        report_problems(path, self.problems)

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int, /) -> RawExample:
        file, number = self._slices[index]
        name = f"{file.stem}.png" if number is None else f"{file.stem}_{number:05d}.png"
        image = record = None
        try:
            pixels, labels = _read(file, "imgs"), _read(file, "gts")
            if number is not None:
                pixels, labels = pixels[number], labels[number]
            record = record_of_labels(labels, index, name, separate=self._separate)
            image = _png(to_eight_bits(pixels))
        except (OSError, ValueError, IndexError):
            # It was sound when the source was made.
            pass
        return RawExample(name, image, record)


class _Slice(NamedTuple):
    """A slice of a file's volume; its number is None where the file has one image."""

    file: Path
    number: int | None


def _slices(file: Path) -> list[_Slice]:
    """The slices of a file that have labels.

    Raises:
        ValueError: The file is not in this form, or damaged.
    """
    labels = _read(file, "gts")
    shape, dtype = _header(file, "imgs")
    if labels.ndim not in (2, 3) or shape not in (labels.shape, (*labels.shape, 3)):
        raise ValueError(
            f"{file}: got imgs of {shape} and gts of {labels.shape}, expected (h, w) or "
            "(d, h, w) for gts, and imgs the same, or with 3 channels behind"
        )
    if not np.issubdtype(labels.dtype, np.integer) and labels.dtype != bool:
        raise ValueError(f"{file}: got gts of {labels.dtype}, expected whole numbers")
    if dtype.kind not in "bui":
        raise ValueError(
            f"{file}: got imgs of {dtype}, expected uint8: scale them to 0..255 first"
        )
    if labels.ndim == 2:
        return [_Slice(file, None)] if labels.any() else []
    used = np.flatnonzero(labels.reshape(len(labels), -1).any(axis=1))
    return [_Slice(file, int(number)) for number in used]


def _read(file: Path, key: str) -> np.ndarray:
    """Reads an array of an npz file, without running anything that it holds."""
    _header(file, key)
    try:
        with np.load(file, allow_pickle=False) as content:
            array = content[key]
    except _DAMAGES as error:
        raise ValueError(f"{file}: {key} is damaged: {error}") from error
    return array.astype(np.uint8) if array.dtype == bool else array


def _header(file: Path, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype of an array, which is not unpacked, and whose size is bounded."""
    try:
        with zipfile.ZipFile(file) as content, content.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(member)
    except KeyError as error:
        raise ValueError(
            f"{file}: got no array {key}, expected imgs and gts, as MedSAM has them"
        ) from error
    except _DAMAGES as error:
        raise ValueError(f"{file}: no npz file, or damaged: {error}") from error
    if dtype.hasobject or int(
        np.prod(shape, dtype=object)
    ) * dtype.itemsize > max_bytes(_MOST_BYTES):
        raise ValueError(
            f"{file}: got {key} of {shape} {dtype}, expected numbers of at most "
            f"{_MOST_BYTES >> 20} MB: split the volume, or set {BYTES}"
        )
    return tuple(shape), dtype


def _png(pixels: UInt8[np.ndarray, ...]) -> bytes:
    """The image as a file, without loss; grey stays grey."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    return file.getvalue()
