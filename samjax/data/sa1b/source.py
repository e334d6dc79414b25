"""Opening of SA-1B: tars, or a folder of extracted files."""

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
        path: A folder of tars or of extracted images and JSON files, a tar, a glob
            pattern such as `data/sa_00*.tar`, or several of these. Tars are read in
            order of their paths.

    Raises:
        ValueError: There are no such files, or both tars and extracted files.
        FileNotFoundError: A path that is not a pattern does not exist.
        OSError: A file cannot be read.
    """
    paths = [path] if isinstance(path, str) else list(path)
    tars = sorted({tar for pattern in paths for tar in find_tars(pattern)})
    if tars:
        return TarSource(tars)
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return ExtractedSource(paths[0])
    raise ValueError(
        f"found no tar at {', '.join(paths)}: give tars of SA-1B, a folder or a pattern "
        "of them, or one folder of extracted images and JSON files"
    )


def find_tars(path: str) -> list[str]:
    """Returns the tars of a path or a glob pattern; a folder is searched recursively.

    Raises:
        ValueError: A folder has compressed tars only.
        FileNotFoundError: A path that is not a pattern does not exist.
    """
    if os.path.isdir(path):
        # Reading a pipe or a device may block for ever.
        inside = sorted(str(tar) for tar in Path(path).rglob("*.tar*") if tar.is_file())
        tars = [tar for tar in inside if tar.endswith(".tar")]
        compressed = [tar for tar in inside if tar.endswith(_COMPRESSED)]
        if compressed and not tars:
            raise ValueError(
                f"{compressed[0]} is compressed, expected uncompressed tars, which "
                "have random access: decompress them once"
            )
        return tars
    if os.path.exists(path):
        return [path]
    matches = glob.glob(path, recursive=True)
    if not matches and glob.escape(path) == path:
        raise FileNotFoundError(2, "no such file or folder", path)
    return [tar for tar in matches if os.path.isfile(tar)]


_COMPRESSED = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4")
