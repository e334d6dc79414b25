"""Locks between processes that write to one folder.

A lock is `flock` on an open file, which the kernel releases when the process ends, however
it ended. The content of the file only names the holder.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from samjax.files.json_text import json_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class InUse(ValueError):
    """Another process holds the lock; the message is one line that names the process."""


@contextlib.contextmanager
def locked(
    path: Path,
    what: str,
    remedy: str = "wait for it, or stop it",
    *,
    wait: bool = False,
) -> Iterator[None]:
    """Holds an exclusive lock inside the `with` block.

    Threads of one process exclude each other too. On Windows, and on file systems without
    locks, nobody is excluded: a warning says so.

    Args:
        path: Path of the lock file, created and removed here; its folder must exist.
        what: Name of the locked resource, for the message.
        remedy: The remedy, for the message.
        wait: Whether to wait for the other process instead of raising `InUse`.

    Raises:
        InUse: Another process holds the lock.
        OSError: The file cannot be written.
    """
    if fcntl is None:
        _warn_of_no_locks(path, "Windows")
        yield
        return
    descriptor = _open_locked(path, fcntl.LOCK_EX, f"{what} is", remedy, wait=wait)
    try:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.time(),
        }
        # For messages alone: a full disk is no failure.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json_text(holder).encode(), 0)
        yield
    finally:
        # Removed while locked: a process that opened it meanwhile notices in `_take`.
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def sharing(path: Path) -> Iterator[Callable[[], bool]]:
    """Holds a shared lock inside the `with` block.

    Args:
        path: Path of the lock file, created if missing, removed by the last holder.

    Yields:
        A function to call at the end: returns whether no other process shares the lock,
        so that remains of others can be removed. If so, others wait for the end of the
        block.

    Raises:
        OSError: The file cannot be written.
    """
    if fcntl is None:
        yield lambda: False
        return
    descriptor = _open_locked(path, fcntl.LOCK_SH, "", "", wait=True)
    alone = False

    def is_alone() -> bool:
        nonlocal alone
        assert fcntl is not None
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        return alone

    try:
        yield is_alone
    finally:
        if is_alone():
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(path: Path, kind: int, what: str, remedy: str, *, wait: bool) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _CLOSED, 0o666)
        try:
            is_ours = _take(descriptor, path, kind, what, remedy, wait)
        except BaseException:
            os.close(descriptor)
            raise
        if is_ours:
            return descriptor
        os.close(descriptor)


def _take(
    descriptor: int, path: Path, kind: int, what: str, remedy: str, wait: bool
) -> bool:
    """Locks an open file; returns False if the file was removed from its path since."""
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise InUse(
                f"{what} in use by another process, {_holder(descriptor)}: {remedy}"
            ) from None
        fcntl.flock(descriptor, kind)
    except OSError:
        # Some network file systems have no locks.
        _warn_of_no_locks(path, "its file system")
        return True
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), now)


# Not inherited by child processes, which would keep the lock.
_CLOSED = getattr(os, "O_CLOEXEC", 0)


def _warn_of_no_locks(path: Path, where: str) -> None:
    # The same text from the same line is shown once for a folder.
    warnings.warn(
        f"{path.parent} cannot be locked ({where} has no such locks): do not let two "
        "processes of samjax write to it at the same time",
        stacklevel=2,
    )


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1 << 12, 0))
        here = holder["host"] == socket.gethostname()
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder["since"]))
        where = "" if here else f" of {str(holder['host'])[:80]}"
        return f"number {int(holder['pid'])}{where}, since {started}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "of which nothing is known"
