"""Writes state dicts as `torch.save` does, without torch.

The inverse of `torch_file`: a pickle that rebuilds an ordered dict of tensors, then the
data of each tensor as a stored zip entry, aligned to 64 bytes as torch aligns it so that
`torch.load(mmap=True)` maps it. The pickle needs few instructions, which are written out
here; `torch.load(weights_only=True)` reads it.
"""

import io
import math
import struct
import zipfile
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from samjax.checkpoints.mapped import contiguous_strides
from samjax.checkpoints.safetensors_file import Planned, write_array


def write_torch_file(
    file: io.BufferedIOBase, plan: Sequence[Planned], arrays: Iterator[np.ndarray]
) -> None:
    """Writes a `.pth` file, holding one tensor in memory at a time.

    Args:
        file: Open for writing, seekable.
        plan: Every tensor, in the order of `arrays`.
        arrays: Their values, of the planned shapes, computed lazily.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        pickled = _pickle(plan)
        with _entry(archive, file, "data.pkl", len(pickled)) as entry:
            entry.write(pickled)
        with _entry(archive, file, "byteorder", 6) as entry:
            entry.write(b"little")
        for key, (tensor, array) in enumerate(zip(plan, arrays, strict=True)):
            with _entry(archive, file, f"data/{key}", tensor.nbytes) as entry:
                write_array(entry, array, tensor)
        with _entry(archive, file, "version", 2) as entry:
            entry.write(b"3\n")


def _entry(
    archive: zipfile.ZipFile, file: io.BufferedIOBase, name: str, size: int
) -> io.BufferedIOBase:
    """Opens an entry for writing whose data starts at a multiple of 64 bytes."""
    info = zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))
    info.file_size = size
    large = size * 1.05 > zipfile.ZIP64_LIMIT
    header = file.tell() + 30 + len(info.filename) + 4 + (20 if large else 0)
    padding = -header % 64
    # The extra field in which torch puts its padding.
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    return cast(io.BufferedIOBase, archive.open(info, "w", force_zip64=large))


def _pickle(plan: Sequence[Planned]) -> bytes:
    """Returns the pickle, in protocol 2, of an ordered dict of the tensors."""
    program = [b"\x80\x02", _name("collections", "OrderedDict"), b")R("]
    for key, tensor in enumerate(plan):
        program += [
            _text(tensor.name),
            _name("torch._utils", "_rebuild_tensor_v2"),
            b"((",
            _text("storage"),
            _name("torch", STORAGE_NAMES[tensor.dtype]),
            _text(str(key)),
            _text("cpu"),
            _integer(math.prod(tensor.shape)),
            b"tQ",  # The tuple becomes the storage.
            _integer(0),
            _integers(tensor.shape),
            _integers(contiguous_strides(tensor.shape)),
            b"\x89",  # No gradient is required.
            _name("collections", "OrderedDict"),
            b")R",  # No hooks.
            b"tR",  # The tuple of arguments becomes the tensor.
        ]
    return b"".join([*program, b"u."])


def _name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(9, "little")
    return b"\x8a" + bytes([len(encoded)]) + encoded


def _integers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(_integer(value) for value in values) + b"t"


STORAGE_NAMES = {
    "F64": "DoubleStorage",
    "F32": "FloatStorage",
    "F16": "HalfStorage",
    "BF16": "BFloat16Storage",
}
