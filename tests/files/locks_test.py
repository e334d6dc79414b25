"""Locks keep others out for as long as their process lives, and no longer."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from samjax.files import InUse, locked, locks, sharing

HOLD = """
import sys, time
from pathlib import Path
from samjax.files import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_is_first(tmp_path):
    lock = tmp_path / ".lock"
    with locked(lock, "the folder x", "go away"):
        with pytest.raises(InUse) as error, locked(lock, "the folder x", "go away"):
            pass
        said = str(error.value)
        assert "the folder x is in use by another process" in said
        assert f"number {os.getpid()}" in said and "go away" in said
    assert not list(tmp_path.iterdir())
    with locked(lock, "the folder x"):
        pass


def test_the_lock_of_a_killed_process_does_not_stay(tmp_path):
    lock = tmp_path / ".lock"
    words = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(InUse, match=f"number {process.pid}"), locked(lock, "it"):
            pass
        process.send_signal(signal.SIGKILL)
    assert lock.exists()
    with locked(lock, "it"):
        pass
    assert not lock.exists()


def test_those_who_wait_come_one_after_the_other(tmp_path):
    count = [0]

    def add() -> None:
        with locked(tmp_path / ".lock", "it", wait=True):
            before = count[0]
            time.sleep(0.002)
            count[0] = before + 1

    threads = [threading.Thread(target=add) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == [20]
    assert not list(tmp_path.iterdir())


def test_of_those_who_share_only_the_last_one_is_alone(tmp_path):
    lock = tmp_path / ".lock"
    with sharing(lock) as first:
        with sharing(lock) as second:
            assert not second()
        assert first()
    assert not list(tmp_path.iterdir())


def test_a_system_without_locks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with (
        pytest.warns(UserWarning, match="cannot be locked .*Windows.*two processes"),
        locked(tmp_path / ".lock", "it"),
    ):
        assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def no_locks(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    with (
        pytest.warns(UserWarning, match=r"cannot be locked \(its file system"),
        locked(tmp_path / ".lock", "it"),
    ):
        pass
    assert not list(tmp_path.iterdir())
