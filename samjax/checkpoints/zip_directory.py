"""Reads the directory of a zip archive in bounded memory.

The standard library makes an object of some 500 bytes for every entry of 47 bytes that a
file claims to have, before a caller can bound their number. This reader takes the subset
that PyTorch writes: stored entries, Zip64 where the archive is large, and no bytes before
the first entry. All sizes are checked against that of the file.
"""

import struct
from typing import NamedTuple

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import MappedFile


class Member(NamedTuple):
    """An entry, as the directory describes it.

    Attributes:
        name: Its bytes.
        is_stored: Whether it is neither compressed nor encrypted.
        crc: CRC-32 of its data.
        size: Bytes of its data.
        packed: Bytes that these take in the file.
        offset: First byte of its local header.
    """

    name: bytes
    is_stored: bool
    crc: int
    size: int
    packed: int
    offset: int


class Directory(NamedTuple):
    """All entries, and the first byte of the directory, where their data ends."""

    members: list[Member]
    start: int


def read_directory(file: MappedFile) -> Directory:
    """Reads the directory of a zip archive.

    Raises:
        CheckpointError: It is cut off, contradicts itself or the file, or has more than
            `MAX_MEMBERS` entries.
    """
    try:
        count, start, stop = _find_directory(file)
        if not 0 < count <= MAX_MEMBERS:
            raise CheckpointError(
                f"the archive has {count} entries, expected 1 to {MAX_MEMBERS}"
            )
        data = file.buffer[start:stop]
        members, position = [], 0
        for _ in range(count):
            member, position = _read_member(data, position)
            members.append(member)
        if position != len(data):
            raise struct.error(f"its directory goes on after {count} entries")
    except struct.error as error:
        raise CheckpointError(
            f"{error}: the file is damaged or cut off; get it again"
        ) from error
    return Directory(members, start)


def data_start(file: MappedFile, member: Member) -> int:
    """Returns the first byte of an entry's data; 0 if its local header is invalid."""
    # The directory's copy of the header leaves out the padding that aligns the data.
    header = file.buffer[member.offset : member.offset + LOCAL.size]
    if len(header) < LOCAL.size:
        return 0
    signature, method, name_size, extra_size = LOCAL.unpack(header)
    start = member.offset + LOCAL.size
    name = file.buffer[start : start + name_size]
    if signature != b"PK\x03\x04" or method or name != member.name:
        return 0
    return start + name_size + extra_size


def _find_directory(file: MappedFile) -> tuple[int, int, int]:
    """Returns the number of entries, and the byte range of the directory."""
    first = max(0, file.size - END.size - MAX_COMMENT)
    tail = file.buffer[first:]
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or len(tail) - position < END.size:
        raise struct.error("the archive has no end")
    *_, count, size, start, _ = END.unpack_from(tail, position)
    end = first + position
    if count == 0xFFFF or 0xFFFFFFFF in (size, start):
        locator = file.buffer[max(0, end - LOCATOR.size) : end]
        signature, end64 = LOCATOR.unpack(locator)
        if signature == b"PK\x06\x07":
            record = file.buffer[end64 : end64 + END64.size]
            signature, count, size, start = END64.unpack(record)
            if signature != b"PK\x06\x06":
                raise struct.error("the archive has no end")
            end = end64
    if start + size > end:
        raise struct.error("its directory is larger than the file")
    return count, start, start + size


def _read_member(data: bytes, position: int) -> tuple[Member, int]:
    (
        signature, flags, method, crc, packed, size, name_size, extra_size,
        comment_size, offset,
    ) = ENTRY.unpack_from(data, position)  # fmt: skip
    name_end = position + ENTRY.size + name_size
    after = name_end + extra_size + comment_size
    if signature != b"PK\x01\x02" or after > len(data):
        raise struct.error("its directory is cut off")
    extra = data[name_end : name_end + extra_size]
    size, packed, offset = _large([size, packed, offset], extra)
    member = Member(
        name=data[position + ENTRY.size : name_end],
        is_stored=method == 0 and not flags & 0x1,
        crc=crc,
        size=size,
        packed=packed,
        offset=offset,
    )
    return member, after


def _large(values: list[int], extra: bytes) -> list[int]:
    """Replaces values that need 64 bits by those of the Zip64 field."""
    if 0xFFFFFFFF not in values:
        return values
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            large = iter(struct.unpack_from(f"<{size // 8}Q", extra, position + 4))
            return [
                next(large, value) if value == 0xFFFFFFFF else value for value in values
            ]
        position += 4 + size
    return values


# A file of ViT-H with its optimizer's state has 1,800.
MAX_MEMBERS = 20_000
MAX_COMMENT = 2**16 - 1
LOCAL = struct.Struct("<4s4xH16xHH")
ENTRY = struct.Struct("<4s4xHH4xIIIHHH8xI")
END = struct.Struct("<4s6xHIIH")
LOCATOR = struct.Struct("<4s4xQ4x")
END64 = struct.Struct("<4s28xQQQ")
