"""The headers of a tar: where its members lie, without reading what is in them.

Understands ustar, GNU's long names and large sizes, and pax's `path` and `size`. Stops
at the first thing that is not a whole member and says so; the members before it stand.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 512


class Member(NamedTuple):
    """A file in a tar.

    Attributes:
        name: Its path in the tar, as it is stored.
        offset: Of its first byte in the tar.
        size: In bytes.
    """

    name: bytes
    offset: int
    size: int


class DamagedTar(Exception):
    """The tar does not go on as it should; `position` is where."""

    def __init__(self, what: str, position: int):
        super().__init__(f"{what} at byte {position}")
        self.position = position


def read_members(file: int, length: int) -> Iterator[Member]:
    """Yields the files of a tar, in its order.

    Args:
        file: descriptor of the tar, open for reading.
        length: of the tar in bytes.

    Raises:
        DamagedTar: it ends within a member or without its end mark, or a header is
            damaged; after all members before that.
    """
    position = 0
    name: bytes | None = None
    size: int | None = None
    while True:
        header = os.pread(file, BLOCK, position)
        if len(header) < BLOCK:
            raise DamagedTar("the tar is cut off", position + len(header))
        if header == _ZEROS:
            return
        kind = header[156:157]
        own_size = _number(header[124:136])
        if own_size is None or _number(header[148:156]) != _checksum(header):
            raise DamagedTar("the tar has a damaged header", position)
        if kind in _WITHOUT_CONTENT:
            own_size = 0
        elif kind in _FILES and size is not None:
            own_size = size
        start = position + BLOCK
        position = start + -(-own_size // BLOCK) * BLOCK
        # The zeros that fill up the last block may be missing, its content not.
        if start + own_size > length:
            raise DamagedTar("the tar is cut off within a member", length)
        if kind in _FOR_NEXT:
            content = os.pread(file, min(own_size, _LONGEST_EXTENSION), start)
            if kind == b"L":
                name = content.rstrip(b"\0")
            elif kind == b"x":
                name, size = _pax_fields(content, name, size)
            continue
        if kind in _FILES:
            yield Member(_name(header) if name is None else name, start, own_size)
        elif kind == b"S":
            raise DamagedTar("the tar has a sparse member", start - BLOCK)
        name = size = None


_ZEROS = bytes(BLOCK)
# What a member is. 7 is a file that is to lie in one piece; 1 to 6 are links, devices
# and folders; L, K, x and g tell of members that come after.
_FILES = (b"0", b"\0", b"7")
_WITHOUT_CONTENT = tuple(b"%d" % kind for kind in range(1, 7))
_FOR_NEXT = (b"L", b"K", b"x", b"g")
_LONGEST_EXTENSION = 1 << 20


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] != b"ustar\0":
        # GNU's own format has times where ustar has the front part of a long name.
        return name
    prefix = header[345:500].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int | None:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    # int() would take signs and underscores too.
    if digits.strip(b"01234567"):
        return None
    return int(digits or b"0", 8)


def _checksum(header: bytes) -> int:
    # The sum of all bytes, the field of the checksum counted as spaces.
    return sum(header) - sum(header[148:156]) + 8 * 32


def _pax_fields(
    content: bytes, name: bytes | None, size: int | None
) -> tuple[bytes | None, int | None]:
    """Reads lines `LENGTH KEY=VALUE` as far as they are sound."""
    while content:
        digits, _, _ = content.partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(content):
            break
        line = content[len(digits) + 1 : int(digits)].rstrip(b"\n")
        key, _, value = line.partition(b"=")
        if key == b"path":
            name = value
        elif key == b"size" and value.isdigit():
            size = int(value)
        content = content[int(digits) :]
    return name, size
