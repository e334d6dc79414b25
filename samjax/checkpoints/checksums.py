"""Checksums of a training checkpoint's files, with which damage is detected."""

import zlib
from pathlib import Path

from samjax.files import KEY, json_text, read_json, write_bytes

NAME = "samjax_checksums.json"
MARK = "samjax checksums"


def seal(folder: Path) -> None:
    """Writes the size and the CRC-32 of every file of a checkpoint, beside them.

    Raises:
        OSError: A file cannot be read, or the sums cannot be written.
    """
    files = {
        path.relative_to(folder).as_posix(): [path.stat().st_size, _crc(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME
    }
    content = {KEY: MARK, "files": files}
    write_bytes(folder / NAME, json_text(content, indent=0).encode())


def is_sealed(folder: Path) -> bool:
    """Returns whether a checkpoint has checksums.

    Checkpoints of older versions, and the last one of a killed run, have none.
    """
    return read_json(folder / NAME).get(KEY) == MARK


def find_damage(folder: Path) -> str:
    """Compares the files of a checkpoint with its checksums.

    Returns:
        The first damaged file and its damage; "" for a checkpoint that is whole, or that
        has no checksums.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return "it is empty"
    if not is_sealed(folder):
        return ""
    files = read_json(folder / NAME).get("files")
    for name, (size, crc) in (files if isinstance(files, dict) else {}).items():
        path = folder / name
        try:
            actual = path.stat().st_size
            if actual != size:
                return f"{name} has {actual} bytes, expected {size}"
            if _crc(path) != crc:
                return f"{name} has another checksum than when it was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def _crc(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while content := file.read(1 << 22):
            total = zlib.crc32(content, total)
    return total
