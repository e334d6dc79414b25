"""Reads and writes `.safetensors` files through memory maps.

The format is a JSON header (name to dtype, shape and offsets) followed by the data. The
safetensors library validates the header (no gaps, overlaps, or offsets outside of the
file); samjax then maps the data. Writing streams one tensor at a time, where the library
takes a whole dict.
"""

import io
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
from samjax.files import json_text


class SafetensorsFile(NamedTuple):
    """Contents of a `.safetensors` file.

    Attributes:
        tensors: Name to tensor, not yet read.
        metadata: The strings of the header.
    """

    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]


def is_safetensors(path: Path) -> bool:
    """Whether a file has the format, by its beginning.

    One that begins like neither it nor a zip archive is judged by its suffix.

    Raises:
        CheckpointError: The file cannot be read.
    """
    file = MappedFile(path)
    length = int.from_bytes(file.buffer[:8], "little")
    if file.buffer[8:9] == b"{" and length < file.size:
        return True
    is_archive = file.buffer[:4] == b"PK\x03\x04"
    return not is_archive and path.suffix.lower() == ".safetensors"


def read_safetensors(path: Path) -> SafetensorsFile:
    """Opens a `.safetensors` file.

    Raises:
        CheckpointError: If the file is truncated, of another format, or has a dtype
            that is not real or not of 1 to 8 bytes.
    """
    file = MappedFile(path)
    base = 8 + int.from_bytes(file.buffer[:8], "little")
    # The library reads any header whole, into memory of 25 times its size.
    if MAX_HEADER < base <= file.size:
        raise CheckpointError(
            f"{path} has a header of {base} bytes, expected at most {MAX_HEADER}."
        )
    try:
        with safe_open(path, "numpy") as checked:
            metadata = dict(checked.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or is damaged or cut off: {error}."
        ) from error
    header = json.loads(file.buffer[8:base])
    sums = _checksums(path, header, metadata)
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
            crc=sums.get(name),
        )
    if problems:
        raise CheckpointError(f"{path} cannot be read.", problems)
    return SafetensorsFile(tensors, metadata)


def _checksums(
    path: Path, header: dict[str, Any], metadata: dict[str, str]
) -> dict[str, int]:
    """Returns the CRC-32 of every tensor; empty for files that samjax did not write."""
    if CHECKSUMS not in metadata:
        return {}
    names = [name for name in header if name != "__metadata__"]
    names.sort(key=lambda name: header[name]["data_offsets"])
    *words, of_header = metadata[CHECKSUMS].split(" ")
    is_whole = len(words) == len(names) and all(
        len(word) == 8 and set(word) <= HEXADECIMAL for word in (*words, of_header)
    )
    if not is_whole or of_header != _header_sum(header):
        raise CheckpointError(
            f"{path} has a header that contradicts its checksum: the file is damaged; "
            f"get it again. If it was changed on purpose, leave {CHECKSUMS} out of its "
            "metadata."
        )
    return {name: int(word, 16) for name, word in zip(names, words, strict=True)}


def _header_sum(header: dict[str, Any]) -> str:
    """Returns the CRC-32 of a header, independent of the order of its entries."""
    strings = dict(header["__metadata__"])
    # Without its own checksum, which is the last word.
    strings[CHECKSUMS] = strings[CHECKSUMS].rpartition(" ")[0]
    whole = {**header, "__metadata__": strings}
    return _word(json_text(whole, sort_keys=True).encode())


def _word(content: Any) -> str:
    return f"{zlib.crc32(content):08x}"


class Planned(NamedTuple):
    """Header entry of a tensor to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def write_safetensors(
    file: io.BufferedIOBase,
    plan: Iterable[Planned],
    arrays: Iterator[np.ndarray],
    metadata: dict[str, str],
    *,
    checksums: bool = False,
) -> None:
    """Writes a `.safetensors` file, holding one tensor in memory at a time.

    Args:
        file: Open for writing; seekable, for checksums.
        plan: Every tensor, in the order of `arrays`.
        arrays: Their values, of the planned shapes, computed lazily.
        metadata: Strings for the header.
        checksums: Adds the CRC-32 of every tensor, and of the header, to the metadata.
            For samjax's own forms alone: programs that edit other files may copy
            metadata without updating it.
    """
    plan = list(plan)
    words = ["0" * 8] * (len(plan) + 1)
    if checksums:
        metadata = {**metadata, CHECKSUMS: " ".join(words)}
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for tensor in plan:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.nbytes],
        }
        end += tensor.nbytes
    text = json_text(header, separators=(",", ":")).encode()
    # The format requires alignment to 8 bytes; with 64, that of cache lines and vector
    # registers, readers can map the data without a copy.
    text += b" " * (-(8 + len(text)) % 64)
    file.write(len(text).to_bytes(8, "little") + text)
    for i, (tensor, array) in enumerate(zip(plan, arrays, strict=True)):
        words[i] = f"{write_array(file, array, tensor):08x}"
    if checksums:
        # They overwrite zeros of the same length, so that offsets do not change.
        metadata[CHECKSUMS] = " ".join(words)
        words[-1] = _header_sum(header)
        metadata[CHECKSUMS] = " ".join(words)
        file.seek(8)
        file.write(json_text(header, separators=(",", ":")).encode())
        file.seek(0, io.SEEK_END)


def write_array(file: io.BufferedIOBase, array: np.ndarray, planned: Planned) -> int:
    """Writes an array of the planned shape; returns its CRC-32.

    Elements are in row-major order and little-endian.

    Raises:
        ValueError: The array has another shape or dtype than was planned.
    """
    if array.shape != planned.shape or array.dtype != DTYPES[planned.dtype]:
        raise ValueError(f"{planned} was announced, got {array.dtype} {array.shape}.")
    order = np.dtype(f"u{array.itemsize}").newbyteorder("<")
    if not array.flags.c_contiguous:
        view, array = array, np.empty(array.shape, array.dtype)
        fill(array, view)
    bits = np.ascontiguousarray(array).view(f"u{array.itemsize}")
    content = bits.astype(order, copy=False).data
    file.write(content)
    return zlib.crc32(content)


CHECKSUMS = "samjax_crc32"
HEXADECIMAL = set("0123456789abcdef")
# ViT-H's has 0.1 MB.
MAX_HEADER = 2**22
