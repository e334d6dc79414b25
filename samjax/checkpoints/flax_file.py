"""Reads the checkpoints that `flax.training.checkpoints` wrote, without loading them.

Such a file is one msgpack map of maps, whose leaves are arrays: extension 1, which holds
(shape, name of the dtype, bytes). The maps are read here and the arrays are left in the
mapped file. Everything is untrusted: lengths are checked against the file, and depth and
number of values are bounded.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import (
    DTYPES,
    MappedFile,
    StoredTensor,
    contiguous_strides,
)


def is_flax(path: Path) -> bool:
    """Whether a file begins like a checkpoint of Flax, a map with a text as its first key.

    Raises:
        CheckpointError: The file cannot be read.
    """
    head = MappedFile(path).buffer[:6]
    for first, skipped in ((range(0x81, 0x90), 1), ((0xDE,), 3), ((0xDF,), 5)):
        if head[:1] and head[0] in first:
            key = head[skipped : skipped + 1]
            return bool(key) and (0xA1 <= key[0] <= 0xBF or 0xD9 <= key[0] <= 0xDB)
    return False


def read_flax_file(path: Path) -> dict[str, StoredTensor]:
    """Opens the parameters in a checkpoint of Flax.

    Args:
        path: The file. Of a training state the parameters are read, `params` or, as
            before Optax, `optimizer/target`.

    Returns:
        Tensors by the names of their maps, joined by "/"; none has been read.

    Raises:
        CheckpointError: The file is cut off or of another format.
    """
    file = MappedFile(path)
    try:
        content = _Scanner(file).whole()
        return dict(_tensors(file, _parameters(content)))
    except (CheckpointError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint of Flax that samjax can read.", [str(error)]
        ) from error


class _Span(NamedTuple):
    """Bytes of the file: an extension of some code, or plain bytes (no code)."""

    start: int
    stop: int
    code: int | None = None


class _Scanner:
    """Walks over the values of a msgpack file."""

    def __init__(self, file: MappedFile, position: int = 0):
        self.file, self.position, self.count = file, position, 0

    def whole(self) -> Any:
        """Returns the value that the whole file is."""
        content = self.value(0)
        if self.position != self.file.size:
            raise CheckpointError(
                f"it ends at byte {self.position} of {self.file.size}: it is damaged"
            )
        return content

    def value(self, depth: int) -> Any:
        """Returns the next value; texts, numbers and maps, and spans for the rest."""
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_VALUES:
            raise CheckpointError(
                f"it has more than {MAX_VALUES} values, or more than {MAX_DEPTH} maps "
                "inside each other"
            )
        head = self.take(1)[0]
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        if head < 0x90:
            return self.map(head & 0x0F, depth)
        if head < 0xA0:
            return self.list(head & 0x0F, depth)
        if head < 0xC0:
            return self.text(head & 0x1F)
        if head in CONSTANTS:
            return CONSTANTS[head]
        if head in NUMBERS:
            return self.unpack(NUMBERS[head])
        if head not in LENGTHS:
            raise CheckpointError(f"byte {self.position - 1} is no msgpack")
        kind, code = LENGTHS[head]
        length = code if isinstance(code, int) else self.unpack(code)
        if kind == "map":
            return self.map(length, depth)
        if kind == "list":
            return self.list(length, depth)
        if kind == "text":
            return self.text(length)
        extension = self.unpack("b") if kind == "extension" else None
        start = self.position
        self.skip(length)
        return _Span(start, start + length, extension)

    def take(self, length: int) -> bytes:
        """Reads bytes."""
        start = self.position
        self.skip(length)
        return self.file.buffer[start : start + length]

    def skip(self, length: int) -> None:
        """Passes over bytes, which have to be there."""
        if length > self.file.size - self.position:
            raise CheckpointError("it is cut off: get it again")
        self.position += length

    def unpack(self, code: str) -> Any:
        """Reads a number."""
        return struct.unpack(f">{code}", self.take(struct.calcsize(code)))[0]

    def text(self, length: int) -> str:
        """Reads a text."""
        return self.take(length).decode()

    def list(self, length: int, depth: int) -> list[Any]:
        """Reads the values of a list."""
        return [self.value(depth + 1) for _ in range(length)]

    def map(self, length: int, depth: int) -> dict[str, Any]:
        """Reads the items of a map, whose keys are texts."""
        made: dict[str, Any] = {}
        for _ in range(length):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in made:
                raise CheckpointError("a map has a key twice, or one that is no text")
            made[key] = self.value(depth + 1)
        return made


def _parameters(content: Any) -> dict[str, Any]:
    """Returns the map of parameters in a file."""
    if not isinstance(content, dict):
        raise CheckpointError("it is no map of arrays")
    optimizer = content.get("optimizer")
    if isinstance(optimizer, dict) and isinstance(optimizer.get("target"), dict):
        content = optimizer["target"]
    # A target before Optax may be the variables of a module.
    params = content.get("params")
    return params if isinstance(params, dict) else content


def _tensors(
    file: MappedFile, content: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, StoredTensor]]:
    """Yields the arrays of maps inside each other."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if CHUNKED in value:
                raise CheckpointError(f"{name:.200} has more than 1 GiB, in chunks")
            yield from _tensors(file, value, f"{name}/")
        elif isinstance(value, _Span) and value.code == ARRAY:
            tensor = _tensor(file, value, name)
            if tensor is not None:
                yield name, tensor


def _tensor(file: MappedFile, span: _Span, name: str) -> StoredTensor | None:
    """Reads the description of an array; None for a dtype that no weights have."""
    scanner = _Scanner(file, span.start)
    described = scanner.value(0)
    if not isinstance(described, list) or len(described) != 3:
        raise CheckpointError(f"{name:.200} is no array")
    shape, dtype, data = described
    if isinstance(dtype, _Span):
        dtype = file.buffer[dtype.start : dtype.stop].decode()
    whole = isinstance(shape, list) and all(type(side) is int for side in shape)
    if not whole or not isinstance(dtype, str) or not isinstance(data, _Span):
        raise CheckpointError(f"{name:.200} is no array")
    if dtype not in NAMES:
        return None
    return StoredTensor(
        file=file,
        dtype=NAMES[dtype],
        shape=tuple(shape),
        strides=contiguous_strides(tuple(shape)),
        start=data.start,
        storage=(data.start, data.stop),
    )


ARRAY = 1
CHUNKED = "__msgpack_chunked_array__"
MAX_DEPTH = 32
# A training state of an OWLv2 has some 3000.
MAX_VALUES = 2**18
# numpy's names of the dtypes of weights.
NAMES = {str(dtype): name for name, dtype in DTYPES.items()}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
NUMBERS = {
    0xCA: "f",
    0xCB: "d",
    0xCC: "B",
    0xCD: "H",
    0xCE: "I",
    0xCF: "Q",
    0xD0: "b",
    0xD1: "h",
    0xD2: "i",
    0xD3: "q",
}
# Kinds of values with a length: that of the head byte, or the number that follows it.
LENGTHS: dict[int, tuple[str, int | str]] = {
    **{0xC4 + i: ("bytes", code) for i, code in enumerate("BHI")},
    **{0xC7 + i: ("extension", code) for i, code in enumerate("BHI")},
    **{0xD4 + i: ("extension", 2**i) for i in range(5)},
    **{0xD9 + i: ("text", code) for i, code in enumerate("BHI")},
    **{0xDC + i: ("list", code) for i, code in enumerate("HI")},
    **{0xDE + i: ("map", code) for i, code in enumerate("HI")},
}
