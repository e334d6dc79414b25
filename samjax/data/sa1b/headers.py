"""The headers of a tar: where its members lie, without reading what is in them.

Understands ustar, GNU's long names and large sizes, and pax's `path` and `size`. Stops
at the first thing that is not a whole member and says so; the members before it stand.
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
        name: Its path in the tar, as it is stored.
        offset: Of its first byte in the tar.
        size: In bytes.
        kind: The letter that tells files from links, folders and devices, which
            `read_members` gives only where they are asked for.
    """

    name: bytes
    offset: int
    size: int
    kind: bytes = b"0"


class DamagedTar(Exception):
    """The tar does not go on as it should.

    Attributes:
        position: Where.
        name: Of the member that it ends in, if it has one.
    """

    def __init__(self, what: str, position: int, name: bytes | None = None):
        super().__init__(f"{what} at byte {position}")
        self.position, self.name = position, name


def read_members(file: int, length: int, *, others: bool = False) -> Iterator[Member]:
    """Yields the files of a tar, in its order.

    A header is believed only as far as the tar is long, so that neither time nor memory
    grows faster than the tar.

    Args:
        file: descriptor of the tar, open for reading.
        length: of the tar in bytes.
        others: gives links, folders and devices too.

    Raises:
        DamagedTar: it ends within a member or without its end mark, or a header is
            damaged; after all members before that.
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
        own_size = _number(header[124:136])
        if own_size is None or _number(header[148:156]) != _checksum(header):
            raise DamagedTar("the tar has a damaged header", position)
        if kind in _WITHOUT_CONTENT:
            own_size = 0
        elif kind in FILES and size is not None:
            own_size = size
        start = position + BLOCK
        position = start + -(-own_size // BLOCK) * BLOCK
        # The zeros that fill up the last block may be missing, its content not.
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
        ValueError: it is a pipe, a device or a folder, which have no length, and of
            which a read may never end.
        OSError: it cannot be opened.
    """
    try:
        return open_regular(path)
    except (ValueError, IsADirectoryError) as error:
        raise ValueError(f"{path} is no regular file, expected a tar") from error


_ZEROS = bytes(BLOCK)
# What a member is. 7 is a file that is to lie in one piece; 1 to 6 are links, devices
# and folders; L, K, x and g tell of members that come after.
FILES = (b"0", b"\0", b"7")
_WITHOUT_CONTENT = tuple(b"%d" % kind for kind in range(1, 7))
_FOR_NEXT = (b"L", b"K", b"x", b"g")
_LONGEST_EXTENSION = 1 << 20
# One of each kind, and some to spare.
_LONGEST_CHAIN = 16
# Of decimal digits: 2**64 has 20.
_LONGEST_NUMBER = 20


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
