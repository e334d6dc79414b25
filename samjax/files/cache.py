"""The folder of downloads and other reproducible files."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns the folder for downloads and other reproducible files.

    `SAMJAX_CACHE` if set; else `samjax` in `XDG_CACHE_HOME`, if that is an absolute
    path as its specification demands; else `~/.cache/samjax`. It may not exist.
    """
    if own := os.environ.get("SAMJAX_CACHE"):
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = shared if shared.is_absolute() else Path.home() / ".cache"
    return base / "samjax"
