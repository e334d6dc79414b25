"""Files of any file system that Apache Beam knows, copied whole from and to this one.

The writer of array_record files knows local paths only, and a tar is read at many places:
both are done on a local disk.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

_PIECE = 1 << 22


def find_files(patterns: Sequence[str]) -> dict[str, int]:
    """Returns the sizes of files by their paths.

    Raises:
        ValueError: a pattern matches nothing.
        OSError: the file system cannot be reached.
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
        found.path: found.size_in_bytes
        for match in matches
        for found in match.metadata_list
    }


def fetch(source: str, destination: Path) -> None:
    """Copies a file to this machine.

    Raises:
        OSError: it cannot be read, or not be written here.
    """
    from apache_beam.io.filesystem import CompressionTypes  # pyright: ignore[reportMissingImports]
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    as_it_is = CompressionTypes.UNCOMPRESSED
    with (
        FileSystems.open(source, compression_type=as_it_is) as remote,
        destination.open("wb") as local,
    ):
        shutil.copyfileobj(remote, local, _PIECE)


def send(source: Path, destination: str) -> None:
    """Copies a file from this machine, under another name until it is whole.

    Raises:
        OSError: it cannot be written there.
    """
    from apache_beam.io.filesystem import CompressionTypes  # pyright: ignore[reportMissingImports]
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    folder, name = FileSystems.split(destination)
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    hidden = FileSystems.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    as_it_is = CompressionTypes.UNCOMPRESSED
    try:
        with (
            source.open("rb") as local,
            FileSystems.create(hidden, compression_type=as_it_is) as remote,
        ):
            shutil.copyfileobj(local, remote, _PIECE)
        # Not every file system's rename replaces.
        if FileSystems.exists(destination):
            FileSystems.delete([destination])
        FileSystems.rename([hidden], [destination])
    finally:
        if FileSystems.exists(hidden):
            FileSystems.delete([hidden])


def read_text(path: str) -> str | None:
    """Returns the text of a file, None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    if not FileSystems.exists(path):
        return None
    with FileSystems.open(path) as file:
        return file.read().decode()
