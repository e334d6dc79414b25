"""Tensors in memory-mapped files, which are read lazily.

All formats that samjax reads end here. A tensor is a dtype, a shape, strides and an
offset in a mapped file; `array` views it, and `release` returns its pages to the system,
so that reading a file of any size takes the memory of one tensor.
"""

import dataclasses
import math
import mmap
import os
import sys
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np

from samjax.checkpoints.errors import CheckpointError
from samjax.files import open_regular


class MappedFile:
    """A file mapped into memory, read-only.

    Attributes:
        path: Path of the file.
        size: Bytes of the file.
        buffer: The mapping; empty for an empty file.
    """

    def __init__(self, path: str | os.PathLike):
        """Maps a file.

        Raises:
            CheckpointError: It cannot be read.
        """
        self.path = Path(path)
        self.buffer: mmap.mmap | bytes = b""
        try:
            with open_regular(self.path) as file:
                self.size = os.fstat(file.fileno()).st_size
                if self.size:
                    self.buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}.") from error
        head = self.buffer[:64].lstrip().lower()
        # The length of a safetensors header, before its brace, can have any bytes.
        is_header = self.buffer[8:9] == b"{"
        for beginning, kind in _NO_WEIGHTS.items():
            if head.startswith(beginning) and not is_header:
                raise CheckpointError(f"{path} is {kind}.")

    def crc(self, start: int, stop: int) -> int:
        """Returns the CRC-32 of a range of bytes."""
        with memoryview(self.buffer) as whole, whole[start:stop] as part:
            return zlib.crc32(part)

    def release(self, start: int, stop: int) -> None:
        """Returns the pages of a range of bytes to the system."""
        if isinstance(self.buffer, bytes) or not hasattr(mmap, "MADV_DONTNEED"):
            return
        # Only whole pages: partial ones hold bytes of neighbouring tensors.
        start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = stop // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > start:
            self.buffer.madvise(mmap.MADV_DONTNEED, start, stop - start)


# What is often saved under the name of a file of weights.
_NO_WEIGHTS = {
    b"version https://git-lfs": "a pointer of Git LFS: run git lfs pull",
    b"<!doctype html": "a web page: download the file itself",
    b"<html": "a web page: download the file itself",
    b"<?xml": "an error of a server, or another document: download the file itself",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"bzh": "compressed by bzip2: unpack it first",
    b"\xfd7zxz": "compressed by xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first",
}


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor in a mapped file.

    Attributes:
        file: The file of its bytes.
        dtype: One of `DTYPES`.
        shape: Elements along each axis.
        strides: Elements (not bytes) from one index to the next along each axis.
        start: Byte of its first element.
        storage: First byte of its storage, and the byte after the last.
        big_endian: Whether elements are stored most significant byte first.
        crc: CRC-32 of the storage's bytes, where the file has one.
    """

    file: MappedFile
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    storage: tuple[int, int]
    big_endian: bool = False
    crc: int | None = None

    def __post_init__(self):
        if problem := self._problem():
            raise CheckpointError(problem)

    def _problem(self) -> str | None:
        first, stop = self.storage
        size = DTYPES[self.dtype].itemsize
        if not 0 <= first <= stop <= self.file.size:
            return f"a tensor lies in bytes {first} to {stop} of {self.file.size}"
        if len(self.shape) != len(self.strides) or len(self.shape) > MAX_AXES:
            return f"a tensor has shape {self.shape} and strides {self.strides}"
        if min((*self.shape, *self.strides, 0)) < 0:
            return f"a tensor has shape {self.shape} and strides {self.strides}"
        # An expanded tensor (stride 0) would let a small file claim any amount of
        # memory; state dicts do not need one.
        if self.nbytes > stop - first:
            return (
                f"a tensor of shape {self.shape} is larger than its storage of "
                f"{(stop - first) // size} elements; save it after .contiguous()"
            )
        last = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        end = self.start + (last + 1) * size
        if self.nbytes and not first <= self.start <= end <= stop:
            return (
                f"a tensor of shape {self.shape} and strides {self.strides} leaves its "
                f"storage of {(stop - first) // size} elements"
            )
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of its elements, each counted once."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize

    def array(self) -> np.ndarray:
        """Returns the elements in the tensor's shape and the machine's byte order.

        They are a view where possible.

        Raises:
            CheckpointError: The bytes contradict their checksum in the file.
        """
        dtype = DTYPES[self.dtype]
        if not self.nbytes:
            return np.empty(self.shape, dtype)
        first, stop = self.storage
        if self.crc is not None and self.crc != self.file.crc(first, stop):
            raise CheckpointError(
                f"bytes {first} to {stop} contradict the checksum beside them: the "
                "file is damaged; get it again"
            )
        stored = "big" if self.big_endian else "little"
        swap = dtype.itemsize > 1 and stored != sys.byteorder
        bits = np.dtype(f"u{dtype.itemsize}")
        view = np.ndarray(
            self.shape,
            bits.newbyteorder("S") if swap else dtype,
            buffer=self.file.buffer,
            offset=self.start,
            strides=[
                stride * dtype.itemsize if count > 1 else 0
                for count, stride in zip(self.shape, self.strides, strict=True)
            ],
        )
        # numpy has no byte-swapped bfloat16: swap as integers, then view as the dtype.
        return view.astype(bits).view(dtype) if swap else view

    def release(self) -> None:
        """Returns the pages of this tensor to the system."""
        self.file.release(*self.storage)


@dataclasses.dataclass(frozen=True)
class JoinedTensor:
    """Tensors of one dtype that are one, joined along their first axis.

    Attributes:
        parts: The tensors, at least one, alike but for their first axis.
    """

    parts: tuple[StoredTensor, ...]

    @property
    def file(self) -> MappedFile:
        """The file of the first part."""
        return self.parts[0].file

    @property
    def start(self) -> int:
        """The byte of the first element of the first part."""
        return self.parts[0].start

    @property
    def dtype(self) -> str:
        """One of `DTYPES`."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis of the whole."""
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])

    def array(self) -> np.ndarray:
        """Returns a copy of the elements in the tensor's shape and the machine's byte order.

        Raises:
            CheckpointError: The bytes contradict their checksum in the file.
        """
        return np.concatenate([part.array() for part in self.parts])

    def release(self) -> None:
        """Returns the pages of all parts to the system."""
        for part in self.parts:
            part.release()


@dataclasses.dataclass(frozen=True)
class ZeroTensor:
    """A tensor of zeros in place of one that a file does not have.

    Attributes:
        file: The file.
        dtype: One of `DTYPES`.
        shape: Elements along each axis.
    """

    file: MappedFile
    dtype: str
    shape: tuple[int, ...]

    start = 0

    def array(self) -> np.ndarray:
        """Returns zeros of the tensor's shape."""
        return np.zeros(self.shape, DTYPES[self.dtype])

    def release(self) -> None:
        """Does nothing: no page of the file is used."""


def fill(destination: np.ndarray, source: np.ndarray) -> None:
    """Copies and casts an array to another of its shape.

    A transposed matrix is copied in strips that fit a cache, which is 3 times as fast.
    """
    if source.ndim != 2 or source.flags.c_contiguous:
        np.copyto(destination, source, casting="unsafe")
        return
    for start in range(0, source.shape[1], STRIP):
        strip = slice(start, start + STRIP)
        np.copyto(destination[:, strip], source[:, strip], casting="unsafe")


# Names as safetensors writes them.
DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
# Those that weights are stored as.
FLOATING = ("F64", "F32", "F16", "BF16")
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_AXES = 32
STRIP = 128


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the element strides of an array in row-major order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
