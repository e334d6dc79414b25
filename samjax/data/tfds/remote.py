"""Copies of whole files between Apache Beam's file systems and the local disk.

The writer of array_record files supports local paths only, and tars are read with
random access: both need a local disk.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

_PIECE = 1 << 22


def find_files(patterns: Sequence[str]) -> dict[str, int]:
    """Returns the sizes of the files that match glob patterns, by their paths.

    Raises:
        ValueError: A pattern matches no file.
        OSError: The file system cannot be reached.
    """
    from apache_beam.io.filesystem import BeamIOError  # pyright: ignore[reportMissingImports]
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    try:
        matches = FileSystems.match(list(patterns))
    except BeamIOError as error:
        raise OSError(f"cannot list {', '.join(patterns)}: {error}") from error
    for pattern, match in zip(patterns, matches, strict=True):
        if not match.metadata_list:
            raise ValueError(f"found no file at {pattern}")
    return {
        file.path: file.size_in_bytes
        for match in matches
        for file in match.metadata_list
    }


def fetch(source: str, destination: Path) -> None:
    """Copies a file to this machine.

    Raises:
        OSError: The source cannot be read, or the destination not written.
    """
    from apache_beam.io.filesystem import CompressionTypes  # pyright: ignore[reportMissingImports]
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    uncompressed = CompressionTypes.UNCOMPRESSED
    with (
        FileSystems.open(source, compression_type=uncompressed) as remote,
        destination.open("wb") as local,
    ):
        shutil.copyfileobj(remote, local, _PIECE)


def send(source: Path, destination: str) -> None:
    """Copies a file from this machine, under a temporary name until it is complete.

    Raises:
        OSError: The destination cannot be written.
    """
    from apache_beam.io.filesystem import CompressionTypes  # pyright: ignore[reportMissingImports]
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    folder, name = FileSystems.split(destination)
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    hidden = FileSystems.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    uncompressed = CompressionTypes.UNCOMPRESSED
    try:
        with (
            source.open("rb") as local,
            FileSystems.create(hidden, compression_type=uncompressed) as remote,
        ):
            shutil.copyfileobj(local, remote, _PIECE)
        # Not every file system's rename replaces an existing file.
        if FileSystems.exists(destination):
            FileSystems.delete([destination])
        FileSystems.rename([hidden], [destination])
    finally:
        if FileSystems.exists(hidden):
            FileSystems.delete([hidden])


def read_text(path: str) -> str | None:
    """Returns the text of a file; None if it does not exist.

    Raises:
        OSError: The file cannot be read.
    """
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    if not FileSystems.exists(path):
        return None
    with FileSystems.open(path) as file:
        return file.read().decode()
