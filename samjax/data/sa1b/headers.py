"""Reading of a tar's headers: the offsets of its members, without their content.

Supports ustar, GNU's long names and large sizes, and pax's `path` and `size`. Raises at
the first damaged or truncated member, after it has yielded all members before.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from samjax.data.folders import open_regular

BLOCK = 512
FOLDER = b"5"


class Member(NamedTuple):
    """A file in a tar.

    Attributes:
        name: Path in the tar, as stored.
        offset: Offset of its first byte in the tar.
        size: Size in bytes.
        kind: Tar's type flag, which distinguishes files from links, folders and
            devices; `read_members` yields the latter only with `others`.
    """

    name: bytes
    offset: int
    size: int
    kind: bytes = b"0"


class DamagedTar(Exception):
    """A tar is truncated or has a damaged header.

    Attributes:
        position: Offset of the damage in bytes.
        name: Name of the truncated member, None outside a member.
    """

    def __init__(self, problem: str, position: int, name: bytes | None = None):
        super().__init__(f"{problem} at byte {position}")
        self.position, self.name = position, name


def read_members(file: int, length: int, *, others: bool = False) -> Iterator[Member]:
    """Yields the files of a tar, in its order.

    Sizes in headers are checked against the length of the tar, so that time and memory
    are linear in that.

    Args:
        file: Descriptor of the tar, open for reading.
        length: Length of the tar in bytes.
        others: Whether to yield links, folders and devices too.

    Raises:
        DamagedTar: The tar ends within a member or without its end mark, or a header is
            damaged; raised after all members before that.
    """
    position = 0
    name: bytes | None = None
    size: int | None = None
    chain = 0
    while True:
        header = os.pread(file, BLOCK, position)
        if len(header) < BLOCK:
            raise DamagedTar("the tar is cut off", position + len(header))
        if header == _ZEROS:
            return
        kind = header[156:157]
        own_size = _parse_number(header[124:136])
        if own_size is None or _parse_number(header[148:156]) != _checksum(header):
            raise DamagedTar("the tar has a damaged header", position)
        if kind in _WITHOUT_CONTENT:
            own_size = 0
        elif kind in FILES and size is not None:
            own_size = size
        start = position + BLOCK
        position = start + -(-own_size // BLOCK) * BLOCK
        # The zero padding of the last block may be missing, but not its content.
        own_name = _name(header) if name is None else name
        if start + own_size > length:
            raise DamagedTar("the tar is cut off within a member", length, own_name)
        chain = chain + 1 if kind in _FOR_NEXT else 0
        if chain > _LONGEST_CHAIN:
            raise DamagedTar("the tar has too many headers in a row", start - BLOCK)
        if kind in _FOR_NEXT:
            content = os.pread(file, min(own_size, _LONGEST_EXTENSION), start)
            if kind == b"L":
                name = content.rstrip(b"\0")
            elif kind == b"x":
                name, size = _pax_fields(content, name, size)
            continue
        if kind in FILES:
            yield Member(own_name, start, own_size, kind)
        elif kind == b"S":
            raise DamagedTar("the tar has a sparse member", start - BLOCK)
        elif others:
            yield Member(own_name, start, own_size, kind)
        name = size = None


def open_tar(path: str | os.PathLike) -> BinaryIO:
    """Opens a tar for reading.

    Raises:
        ValueError: The path is a pipe, a device or a folder: these have no length, and
            reading them may block for ever.
        OSError: The file cannot be opened.
    """
    try:
        return open_regular(path)
    except (ValueError, IsADirectoryError) as error:
        raise ValueError(f"{path} is no regular file, expected a tar") from error


_ZEROS = bytes(BLOCK)
# Tar's type flags. 7 is a contiguous file; 1 to 6 are links, devices and folders; L, K,
# x and g are extensions of the following members.
FILES = (b"0", b"\0", b"7")
_WITHOUT_CONTENT = tuple(b"%d" % kind for kind in range(1, 7))
_FOR_NEXT = (b"L", b"K", b"x", b"g")
_LONGEST_EXTENSION = 1 << 20
# Extension headers before one member: one of each kind, and some to spare.
_LONGEST_CHAIN = 16
# Decimal digits of 2**64.
_LONGEST_NUMBER = 20


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] != b"ustar\0":
        # GNU's format has timestamps where ustar has the prefix of a long name.
        return name
    prefix = header[345:500].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix else name


def _parse_number(field: bytes) -> int | None:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    # int() would accept signs and underscores too.
    if digits.strip(b"01234567"):
        return None
    return int(digits or b"0", 8)


def _checksum(header: bytes) -> int:
    # The sum of all bytes, with the checksum's own field as spaces.
    return sum(header) - sum(header[148:156]) + 8 * 32


def _pax_fields(
    content: bytes, name: bytes | None, size: int | None
) -> tuple[bytes | None, int | None]:
    """Parses lines `LENGTH KEY=VALUE` up to the first malformed one."""
    position = 0
    while position < len(content):
        digits, space, _ = content[position : position + 1 + _LONGEST_NUMBER].partition(
            b" "
        )
        if not space or not digits.isdigit():
            break
        stop = position + int(digits)
        if not position + len(digits) < stop <= len(content):
            break
        line = content[position + len(digits) + 1 : stop].rstrip(b"\n")
        key, _, value = line.partition(b"=")
        if key == b"path":
            name = value
        elif key == b"size" and value.isdigit() and len(value) <= _LONGEST_NUMBER:
            size = int(value)
        position = stop
    return name, size
