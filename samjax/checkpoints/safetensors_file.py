"""Reads and writes `.safetensors` files through memory maps.

The format is a JSON header, name to dtype, shape and place, and behind it the bare
numbers. The safetensors library checks a header (places without gaps or overlaps, none
outside of the file); samjax then maps the numbers. Writing goes tensor by tensor,
which the library, given whole dicts, cannot.
"""

import io
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import (
    DTYPES,
    MappedFile,
    StoredTensor,
    contiguous_strides,
    fill,
)


class SafetensorsFile(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: Name to tensor, not yet read.
        metadata: The strings that its writer put beside them.
    """

    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]


def read_safetensors(path: Path) -> SafetensorsFile:
    """Opens a `.safetensors` file.

    Raises:
        CheckpointError: If the file is truncated, no such file, or has numbers that
            are not real numbers of 1 to 8 bytes.
    """
    try:
        with safe_open(path, "numpy") as checked:
            metadata = dict(checked.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or is damaged or cut off: {error}."
        ) from error
    file = MappedFile(path)
    base = 8 + int.from_bytes(file.buffer[:8], "little")
    header = json.loads(file.buffer[8:base])
    tensors, problems = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in DTYPES:
            problems.append(
                f"{name:.200} is stored as {entry['dtype']}, expected one of "
                f"{', '.join(DTYPES)}"
            )
            continue
        start, stop = (base + offset for offset in entry["data_offsets"])
        shape = tuple(entry["shape"])
        tensors[name] = StoredTensor(
            file=file,
            dtype=entry["dtype"],
            shape=shape,
            strides=contiguous_strides(shape),
            start=start,
            storage=(start, stop),
        )
    if problems:
        raise CheckpointError(f"{path} cannot be read.", problems)
    return SafetensorsFile(tensors, metadata)


class Planned(NamedTuple):
    """A tensor to be written: what the header says of it before its numbers come."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def write_safetensors(
    file: io.BufferedIOBase,
    plan: Iterable[Planned],
    arrays: Iterator[np.ndarray],
    metadata: dict[str, str],
) -> None:
    """Writes a `.safetensors` file, holding one tensor in memory at a time.

    Args:
        file: Open for writing.
        plan: Every tensor, in the order of `arrays`.
        arrays: Their numbers, made as they are taken.
        metadata: Strings to put beside them.
    """
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    plan = list(plan)
    for tensor in plan:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": (end, end + tensor.nbytes),
        }
        end += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    # The format wants the numbers at a multiple of 8 bytes; of 64, a page's and a
    # vector's, lets readers map them as they are.
    text += b" " * (-(8 + len(text)) % 64)
    file.write(len(text).to_bytes(8, "little") + text)
    for tensor, array in zip(plan, arrays, strict=True):
        write_array(file, array, tensor)


def write_array(file: io.BufferedIOBase, array: np.ndarray, planned: Planned) -> None:
    """Writes an array's numbers in row-major order, little-endian."""
    if array.shape != planned.shape or array.dtype != DTYPES[planned.dtype]:
        raise ValueError(f"{planned} was announced, got {array.dtype} {array.shape}.")
    order = np.dtype(f"u{array.itemsize}").newbyteorder("<")
    if not array.flags.c_contiguous:
        view, array = array, np.empty(array.shape, array.dtype)
        fill(array, view)
    bits = np.ascontiguousarray(array).view(f"u{array.itemsize}")
    file.write(bits.astype(order, copy=False).data)
