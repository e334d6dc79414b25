"""Files of a dataset that may still be in the archive that they were distributed in."""

from __future__ import annotations

import zipfile
from pathlib import Path

from samjax.data.finetune.reading import read_file

# Bytes of a file in an archive: bounds what a small archive expands to.
_MOST_BYTES = 1 << 28


def read_unpacked_or_not(path: Path, archive: Path) -> bytes:
    """Reads a file, or the one of its name in an archive if it was not unpacked.

    Args:
        path: The file.
        archive: The zip file.

    Raises:
        ValueError: Neither has it, or it cannot be read.
    """
    if path.is_file() or not archive.is_file():
        return read_file(path)
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = [
                info
                for info in opened.infolist()
                if info.filename.rpartition("/")[2] == path.name
            ]
            if not inside or inside[0].file_size > _MOST_BYTES:
                raise ValueError(f"{archive}: has no {path.name} of a usual size")
            return opened.read(inside[0])
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise ValueError(f"{archive}: cannot be read: {error}") from error
