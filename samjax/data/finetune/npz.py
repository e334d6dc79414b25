"""Source of examples from MedSAM's npz files: images or volumes with label maps."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from samjax.data.bounds import BYTES, max_bytes
from samjax.data.examples import RawExample
from samjax.data.finetune.reading import (
    record_of_labels,
    report_problems,
    unusable_dataset,
)
from samjax.data.folders import open_regular
from samjax.data.pixels import to_eight_bits

# Bound on the unpacked bytes of an array: a volume of 512 x 512 x 1000 in 16 bits fits.
_MOST_BYTES = 1 << 30


# Fraction of the 16-bit range below which an image is nearly black.
_DARK = 1 / 16


class NpzSource:
    """The examples of npz files with `imgs` and `gts`; each slice of a volume is one.

    Labels are read once, when the source is opened, to find the slices that have any,
    and so are images of other dtypes than uint8, to check their range. A file is read
    whole for each example, as a compressed array has no random access.

    Args:
        path: Path of an `.npz` file, or of a folder of them.
        separate: Whether each connected region of a label is an object of its own.

    Attributes:
        groups: The group of each example that a split must not divide: its file's name,
            so that no volume is on both sides.
        problems: Files that were left out, with reasons.
        notes: Images that are darker than probably intended.

    Raises:
        ValueError: There are no such files, or none of them has a label.
        OSError: The path does not exist or cannot be read.
    """

    def __init__(self, path: str | os.PathLike, *, separate: bool = False):
        path = Path(path)
        files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        if files == [path]:
            # A file given by name has to exist; a bad one in a folder is left out.
            path.open("rb").close()
        problems: list[str] = []
        notes: list[str] = []
        slices: list[_Slice] = []
        for file in files:
            try:
                slices_of_file, remarks = _slices(file)
            except ValueError as error:
                problems.append(str(error))
                continue
            slices += slices_of_file
            notes += remarks
            if not slices_of_file:
                problems.append(f"{file}: got gts of zeros only: no object")
        if not slices:
            raise unusable_dataset(path, "no npz file with imgs and gts", problems)
        self._slices, self._separate = tuple(slices), separate
        self.groups = tuple(part.file.stem for part in slices)
        self.problems, self.notes = tuple(problems), tuple(notes)
        report_problems(path, self.problems, self.notes)

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int, /) -> RawExample:
        file, depth = self._slices[index]
        name = f"{file.stem}.png" if depth is None else f"{file.stem}_{depth:05d}.png"
        image = record = problem = None
        try:
            pixels, labels = _read(file, "imgs"), _read(file, "gts")
            if depth is not None:
                pixels, labels = pixels[depth], labels[depth]
            record = record_of_labels(
                _to_integers(labels, file), index, name, separate=self._separate
            )
            image = _png(to_eight_bits(pixels))
        except (OSError, ValueError, IndexError) as error:
            # The file has changed since the source was opened.
            problem = f"{file}: {error}"
        return RawExample(name, image, record, problem)


class _Slice(NamedTuple):
    """A slice of a file's volume, by its index; None if the file has a single image."""

    file: Path
    depth: int | None


def _slices(file: Path) -> tuple[list[_Slice], list[str]]:
    """Returns the slices of a file that have labels, and notes on its images.

    Raises:
        ValueError: The file is not in this format, or damaged, or its images are out of
            range.
    """
    labels = _to_integers(_read(file, "gts"), file)
    shape, dtype = _header(file, "imgs")
    if labels.ndim not in (2, 3) or shape not in (labels.shape, (*labels.shape, 3)):
        raise ValueError(
            f"{file}: got imgs of {shape} and gts of {labels.shape}, expected (h, w) or "
            "(d, h, w) for gts, and imgs the same, or with 3 channels behind"
        )
    notes = [] if dtype in (np.uint8, np.bool_) else _check_values(file)
    if labels.ndim == 2:
        return [_Slice(file, None)] if labels.any() else [], notes
    used = np.flatnonzero(labels.reshape(len(labels), -1).any(axis=1))
    return [_Slice(file, int(depth)) for depth in used], notes


def _check_values(file: Path) -> list[str]:
    """Checks the range of images that are not uint8; returns notes on them.

    Raises:
        ValueError: The values are out of range for their dtype.
    """
    pixels = _read(file, "imgs")
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"{file}: got imgs of {pixels.dtype}, expected uint8")
    low, high = pixels.min(), pixels.max()
    if pixels.dtype != np.uint16:
        try:
            to_eight_bits(np.array([low, high]))
        except ValueError as error:
            raise ValueError(f"{file}: imgs: {error}") from error
        return []
    if high >= _DARK * 65535:
        return []
    dark = (
        f"{file}: got imgs of uint16 with values in {low}..{high}, where 65535 is "
        f"white: they become 0..{round(high / 257)} of 255, nearly black. Scale "
        "them to 0..255 first"
    )
    return [dark]


def _to_integers(labels: np.ndarray, file: Path) -> np.ndarray:
    """Converts labels to integers; negative ones become background.

    Raises:
        ValueError: The labels are not whole numbers.
    """
    kind = labels.dtype.kind
    # The comparison is False for NaN and infinity.
    is_small = kind == "f" and bool((np.abs(labels) < 1 << 31).all())
    if is_small and (labels % 1 == 0).all():
        labels, kind = labels.astype(np.int32), "i"
    if kind not in "bui":
        raise ValueError(f"{file}: got gts of {labels.dtype}, expected whole numbers")
    # A volume is large: it is copied only if it has negative labels.
    if kind == "b":
        return labels.view(np.uint8)
    return np.maximum(labels, 0) if labels.min(initial=0) < 0 else labels


def _read(file: Path, key: str) -> np.ndarray:
    """Reads an array of an npz file; pickled objects are rejected."""
    _header(file, key)
    try:
        with (
            open_regular(file) as stream,
            np.load(stream, allow_pickle=False) as content,
        ):
            return content[key]
    except Exception as error:
        raise _damaged(file, error) from error


def _header(file: Path, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """Reads the shape and dtype of an array without unpacking it, and checks its size."""
    try:
        with (
            open_regular(file) as stream,
            zipfile.ZipFile(stream) as content,
            content.open(f"{key}.npy") as member,
        ):
            version = np.lib.format.read_magic(member)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version, np.lib.format.read_array_header_2_0)
            shape, _, dtype = read(member)
            size = content.getinfo(f"{key}.npy").file_size - member.tell()
            packed = content.getinfo(f"{key}.npy").compress_size
    except KeyError as error:
        raise ValueError(
            f"{file}: got no array {key}, expected imgs and gts, as in MedSAM's files"
        ) from error
    except Exception as error:
        raise _damaged(file, error) from error
    if not all(type(side) is int and side > 0 for side in shape) or dtype.hasobject:
        raise ValueError(
            f"{file}: got {key} of {shape} {dtype}, expected pixels that are numbers"
        )
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if needed > max_bytes(_MOST_BYTES):
        raise ValueError(
            f"{file}: got {key} of {shape} {dtype}, expected numbers of at most "
            f"{_MOST_BYTES >> 20} MB: split the volume, or set {BYTES}"
        )
    # A damaged header could declare more than its file holds.
    if needed != size or packed > file.stat().st_size:
        raise ValueError(
            f"{file}: got {key} of {shape} {dtype}, which are {needed} bytes, and {size} "
            "bytes of it: the file is damaged or cut off"
        )
    return tuple(shape), dtype


def _damaged(file: Path, error: Exception) -> ValueError:
    """Returns the error for a damaged npz file.

    zipfile, zlib, lzma, NumPy and Python's parser raise errors of many types: OSError,
    LZMAError, TypeError, TokenError.
    """
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
    return ValueError(
        f"{file}: no npz file, or damaged: {reason or type(error).__name__}"
    )


def _png(pixels: UInt8[np.ndarray, ...]) -> bytes:
    """Encodes an image as PNG; grey stays grey."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    return file.getvalue()
