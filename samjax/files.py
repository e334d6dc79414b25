"""Files that are whole or not there, and where those are kept that can be made again."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a hidden name beside `path` to write to, and renames it at the end.

    Whatever happens, `path` is what it was or what was meant to be, and nothing else is
    left; a process that is killed leaves at most the hidden file.

    Raises:
        OSError: the file cannot be written there.
    """
    path = Path(path)
    # In the same folder, since only a rename within a file system is atomic.
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield hidden
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The folder that samjax keeps downloads and other remakeable things in.

    `SAMJAX_CACHE` if set; else `samjax` in `XDG_CACHE_HOME`, if that is an absolute
    path as its specification demands; else `~/.cache/samjax`. It may not exist.
    """
    if own := os.environ.get("SAMJAX_CACHE"):
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = shared if shared.is_absolute() else Path.home() / ".cache"
    return base / "samjax"
