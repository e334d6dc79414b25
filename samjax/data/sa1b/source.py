"""SA-1B wherever it lies: tars, or a folder of extracted files."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from samjax.data.examples import ExampleSource
from samjax.data.sa1b.extracted import ExtractedSource
from samjax.data.sa1b.tars import TarSource


def open_sa1b(path: str | Sequence[str]) -> ExampleSource:
    """Opens SA-1B.

    Args:
        path: a folder of tars or of extracted images and JSON files, a tar, a pattern
            such as `data/sa_00*.tar`, or several of these. Tars are read in order of
            their paths.

    Raises:
        ValueError: nothing is found, or both tars and extracted files are named.
        FileNotFoundError: a path without a pattern is not there.
        OSError: something cannot be read.
    """
    paths = [path] if isinstance(path, str) else list(path)
    tars = sorted({tar for one in paths for tar in find_tars(one)})
    if tars:
        return TarSource(tars)
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return ExtractedSource(paths[0])
    raise ValueError(
        f"found no tar at {', '.join(paths)}: give tars of SA-1B, a folder or a pattern "
        "of them, or one folder of extracted images and JSON files"
    )


def find_tars(path: str) -> list[str]:
    """Returns the tars that a path or a pattern names, those of a folder in any depth.

    Raises:
        ValueError: a folder has compressed tars and no others.
        FileNotFoundError: a path without a pattern is not there.
    """
    if os.path.isdir(path):
        # A read from a pipe or a device may never end.
        inside = sorted(str(tar) for tar in Path(path).rglob("*.tar*") if tar.is_file())
        tars = [tar for tar in inside if tar.endswith(".tar")]
        compressed = [tar for tar in inside if tar.endswith(_COMPRESSED)]
        if compressed and not tars:
            raise ValueError(
                f"{compressed[0]} is compressed, expected uncompressed tars, which can "
                "be read at any place: decompress them once"
            )
        return tars
    if os.path.exists(path):
        return [path]
    found = glob.glob(path, recursive=True)
    if not found and glob.escape(path) == path:
        raise FileNotFoundError(2, "no such file or folder", path)
    return [tar for tar in found if os.path.isfile(tar)]


_COMPRESSED = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4")
