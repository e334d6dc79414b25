"""Folders that processes share: one at a time where two would spoil each other's work.

A lock is the kernel's, on an open file, so that it goes when its process does, however
that ended. The file beside it only tells who holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from samjax.files.json_text import json_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class InUse(ValueError):
    """Another process works here; the message is one line that names it."""


@contextlib.contextmanager
def locked(
    path: Path,
    what: str,
    remedy: str = "wait for it, or stop it",
    *,
    wait: bool = False,
) -> Iterator[None]:
    """Keeps others out for as long as the `with` lasts.

    Two of one process keep each other out too. Where the file system has no locks,
    nobody is kept out.

    Args:
        path: Of the file to lock, made and removed as need be; its folder has to be
            there.
        what: What it keeps others out of, for the message.
        remedy: What to do, for the message.
        wait: Waits for the other process instead of raising `InUse`.

    Raises:
        InUse: Another process has it.
        OSError: The file cannot be written.
    """
    if fcntl is None:
        yield
        return
    descriptor = _open_locked(path, fcntl.LOCK_EX, f"{what} is", remedy, wait=wait)
    try:
        said = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        # Only for people: a full disk does not stop the work.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json_text(said).encode(), 0)
        yield
    finally:
        # Removed while it is held: who opened it meanwhile finds it is not there.
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def sharing(path: Path) -> Iterator[Callable[[], bool]]:
    """Works beside others on the same thing, and knows whether there are any.

    Args:
        path: Of the file to lock, made as need be, and removed by the last one.

    Yields:
        A function, to be called at the end: whether nobody else shares it, so that what
        others left can be removed. Others wait until the `with` is left.

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
    """Whether the lock is ours now; False where its file was removed meanwhile."""
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
        # No locks here, as on some network file systems.
        return True
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), now)


# A program that is started meanwhile does not get the file.
_CLOSED = getattr(os, "O_CLOEXEC", 0)


def _holder(descriptor: int) -> str:
    try:
        said = json.loads(os.pread(descriptor, 1 << 12, 0))
        here = said["host"] == socket.gethostname()
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(said["since"]))
        where = "" if here else f" of {str(said['host'])[:80]}"
        return f"number {int(said['pid'])}{where}, since {started}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "of which nothing is known"
