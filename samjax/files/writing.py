"""Files that are whole or not there, whatever happens to the process or the machine."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, durable: bool = True) -> Iterator[Path]:
    """Gives a hidden name beside `path` to write to, and renames it at the end.

    Whatever happens, `path` is what it was or what was meant to be, and nothing else is
    left; a process that is killed leaves at most the hidden file. Whose file it replaces
    is for `marks.check_replaceable` to ask.

    Args:
        path: The file.
        durable: Whether the content is on the disk before it gets its name. Without, a
            loss of power can leave a file of 0 bytes: for caches.

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
    """Gives a hidden name to write to, which becomes `path` only if nothing is there.

    Of several processes that do this at once one succeeds, and its file is whole.

    Raises:
        FileExistsError: `path` is there already; it stays as it is.
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
                # A file system without hard links: the name first, then the content.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                os.replace(hidden, path)
            sync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file in one step, as `replacing` does.

    Raises:
        OSError: it cannot be written; it names `path`.
    """
    with replacing(path) as hidden:
        hidden.write_bytes(content)


@contextlib.contextmanager
def naming(
    path: str | os.PathLike, hidden: str | os.PathLike | None = None
) -> Iterator[None]:
    """Puts a file's path into errors of writing to it that have none.

    A full disk is reported by `write`, which knows no names.

    Args:
        path: The file.
        hidden: The name that it is written under, which nobody has to know of.
    """
    try:
        yield
    except OSError as error:
        is_hidden = hidden is not None and error.filename in (hidden, str(hidden))
        if is_hidden or (error.filename is None and error.errno in _OF_WRITING):
            error.filename = str(path)
            # Set to None it would be shown as "-> None".
            del error.filename2
        raise


def set_aside(path: Path) -> Path:
    """Renames a damaged file or folder, so that nothing of it is lost.

    Returns:
        Its new path: the name with `.damaged` after it, and a number if need be.

    Raises:
        OSError: it cannot be renamed.
    """
    number = 1
    aside = path.with_name(f"{path.name}.damaged")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged{number}")
    os.rename(path, aside)
    return aside


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlast a loss of power, where the system can."""
    # Not every system opens folders, and the file itself is safe already.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Errors that only writing raises: no room, over a quota, over the limit of a file.
_OF_WRITING = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems have no such call; a full or failing disk is an error.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
