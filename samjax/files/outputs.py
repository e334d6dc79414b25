"""Writing of outputs: a file that samjax did not write is not replaced."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from samjax.files.marks import KINDS, Kind, is_own
from samjax.files.writing import replacing, write_bytes


class WouldReplace(FileExistsError, ValueError):
    """A file exists that samjax did not write; the message is one line."""


def check_replaceable(
    path: str | os.PathLike,
    kind: Kind,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | os.PathLike] = (),
) -> None:
    """Checks that a file may be written: it does not exist, or is samjax's of this kind.

    Args:
        path: The file.
        kind: Kind of the file to write.
        overwrite: Whether the user permits the replacement of other files.
        inputs: Files that the command reads, which are never replaced.

    Raises:
        WouldReplace: Another file has the path.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    if any(_is_same(path, Path(source)) for source in inputs):
        raise WouldReplace(
            f"{path} is what is read here, and would be replaced: write to another place"
        )
    if path.exists() and not path.is_file():
        raise WouldReplace(
            f"{path} is there and is no regular file: write to another place"
        )
    if overwrite or is_own(path, kind):
        return
    raise WouldReplace(
        f"{path} is there and is no {KINDS[kind].what}, which alone samjax would "
        "replace: write to another place, or give --overwrite (overwrite=True)"
    )


def write_output(
    path: str | os.PathLike,
    content: bytes,
    kind: Kind,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | os.PathLike] = (),
) -> Path:
    """Writes a file of samjax atomically, unless another file has the path.

    The folder is created if missing. A file of the same content is never in the way.

    Args:
        path: The file.
        content: Its bytes, with the mark of their kind.
        kind: Kind of the file.
        overwrite: Whether the user permits the replacement of other files.
        inputs: Files that are read, which are never replaced.

    Returns:
        The path.

    Raises:
        WouldReplace: Another file has the path, and stays as it is.
        OSError: The file cannot be written; the error names it.
    """
    path = Path(path)
    # An equal file may be of a format without a mark.
    if not _has_content(path, content):
        check_replaceable(path, kind, overwrite=overwrite, inputs=inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return path


@contextlib.contextmanager
def replacing_own(
    path: str | os.PathLike, kind: Kind, *, overwrite: bool = False
) -> Iterator[Path]:
    """Yields a hidden path to write a file to, as `replacing`; for long files.

    The folder is created if missing.

    Raises:
        WouldReplace: Another file has the path, and stays as it is.
        OSError: The file cannot be written; the error names it.
    """
    path = Path(path)
    check_replaceable(path, kind, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as hidden:
        yield hidden


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return (
            path.is_file()
            and path.stat().st_size == len(content)
            and path.read_bytes() == content
        )
    except OSError:
        return False
