"""Atomic and durable writes: a file appears complete or not at all."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, durable: bool = True) -> Iterator[Path]:
    """Yields a hidden path beside `path` to write to, and renames it at the end.

    At any time `path` has its old or its complete new content, and no other file is left;
    a process that is killed leaves at most the hidden file. Whether the old file may be
    replaced is checked by `marks.check_replaceable`.

    Args:
        path: The file.
        durable: Whether the content is synced to the disk before the rename. Without it,
            a loss of power can leave a file of 0 bytes, which caches accept.

    Raises:
        OSError: the file cannot be written there; it names `path`.
    """
    path = Path(path)
    # In the same folder, since only a rename within a file system is atomic.
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with naming(path, hidden):
            yield hidden
            if durable:
                _sync(hidden)
            os.replace(hidden, path)
            if durable:
                sync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


@contextlib.contextmanager
def creating(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a hidden path to write to, which is renamed to `path` unless that exists.

    Of several concurrent processes one succeeds, with a complete file.

    Raises:
        FileExistsError: `path` exists; it stays as it is.
        OSError: the file cannot be written.
    """
    path = Path(path)
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with naming(path, hidden):
            yield hidden
            _sync(hidden)
            try:
                os.link(hidden, path)
            except FileExistsError:
                raise
            except OSError:
                # Without hard links an empty file reserves the name for the rename.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                os.replace(hidden, path)
            sync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file atomically, as `replacing` does.

    Raises:
        OSError: it cannot be written; it names `path`.
    """
    with replacing(path) as hidden:
        hidden.write_bytes(content)


@contextlib.contextmanager
def naming(
    path: str | os.PathLike, hidden: str | os.PathLike | None = None
) -> Iterator[None]:
    """Adds a file's path to errors of writing to it that name no file.

    A full disk is reported by `write`, whose errors have no path.

    Args:
        path: The file.
        hidden: The temporary path that it is written to, replaced by `path` in errors.
    """
    try:
        yield
    except OSError as error:
        is_hidden = hidden is not None and error.filename in (hidden, str(hidden))
        if is_hidden or (error.filename is None and error.errno in _OF_WRITING):
            error.filename = str(path)
            # Deleted, since a value of None would be printed as "-> None".
            del error.filename2
        raise


def set_aside(path: Path) -> Path:
    """Renames a damaged file or folder, so that its content is kept.

    Returns:
        Its new path: the name with `.damaged` appended, and a number if that exists.

    Raises:
        OSError: it cannot be renamed.
    """
    attempt = 1
    aside = path.with_name(f"{path.name}.damaged")
    while os.path.lexists(aside):
        attempt += 1
        aside = path.with_name(f"{path.name}.damaged{attempt}")
    os.rename(path, aside)
    return aside


def sync_folder(folder: Path) -> None:
    """Syncs the names in a folder to the disk, where the system can."""
    # Windows cannot open folders; the content of the file is synced in any case.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Errors that only writing raises: disk full, quota or file size exceeded.
_OF_WRITING = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems do not support it; a full or failing disk is an error.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
