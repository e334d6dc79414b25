"""Metadata of each file format that can hold samjax's mark.

Each function reads a bounded part of a file, and returns an empty result for a missing
file or one of another format: callers only need to know whether samjax wrote it.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# The largest JSON files of samjax are COCO's, of which only the head is read.
_LONGEST_JSON = 1 << 28
_HEAD = 1 << 16
_MOST_PARTS = 10_000


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file."""
    try:
        if path.stat().st_size > _LONGEST_JSON:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_head(path: Path, length: int = _HEAD) -> bytes:
    """Returns the first bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError:
        return b""


def read_png_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Returns the chunks of a PNG as (kind, content), long ones without content."""
    try:
        with path.open("rb") as file:
            if file.read(8) != b"\x89PNG\r\n\x1a\n":
                return []
            chunks = []
            while len(chunks) < _MOST_PARTS and len(head := file.read(8)) == 8:
                length, kind = struct.unpack(">I4s", head)
                content = file.read(length) if length <= _HEAD else b""
                file.seek(length - len(content) + 4, 1)
                chunks.append((kind, content))
            return chunks
    except OSError:
        return []


def png_software(chunks: list[tuple[bytes, bytes]]) -> str:
    """Returns the `Software` text of a PNG."""
    for kind, content in chunks:
        key, _, text = content.partition(b"\0")
        if kind == b"tEXt" and key == b"Software":
            return text.decode("latin-1")
    return ""


def read_jpeg_segments(path: Path) -> list[tuple[int, bytes]]:
    """Returns the segments of a JPEG before its pixels, as (marker, content)."""
    return list(_jpeg_segments(read_head(path)))


def read_safetensors_header(path: Path) -> tuple[int, Mapping[str, str]]:
    """Returns the length of a safetensors file's header, and its metadata."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(path.stat().st_size, _LONGEST_JSON):
                return 0, {}
            header = json.loads(file.read(length))
        metadata = header["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0, {}
    return length, metadata if isinstance(metadata, dict) else {}


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _jpeg_segments(head: bytes) -> Iterator[tuple[int, bytes]]:
    position = 2
    if head[:2] != b"\xff\xd8":
        return
    while position + 4 <= len(head) and head[position] == 0xFF:
        marker = head[position + 1]
        length = int.from_bytes(head[position + 2 : position + 4], "big")
        # Start of scan: compressed pixels follow.
        if marker == 0xDA or length < 2:
            return
        yield marker, head[position + 4 : position + 2 + length]
        position += 2 + length
