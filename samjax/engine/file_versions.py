"""A name for the content of an image file, by which caches find what they made of it."""

import hashlib
import os


def file_version(path: str | os.PathLike, size: int, changed: int) -> str:
    """Returns the hash of a path, size and time of the last write.

    Args:
        path: Path of the file.
        size: Its bytes.
        changed: Time of the last write, in nanoseconds.
    """
    facts = f"{os.fspath(path)}\0{size}\0{changed}"
    return hashlib.sha256(os.fsencode(facts)).hexdigest()[:32]
