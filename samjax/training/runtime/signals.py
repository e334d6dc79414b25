"""SIGTERM and SIGINT as an orderly end of a run."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import jax
from jax.experimental import multihost_utils


@runtime_checkable
class Stop(Protocol):
    """Whether the end of a run was requested."""

    def requested(self, step: int) -> bool:
        """Returns it after a step, the same value in all processes.

        Args:
            step: Steps done. Every process calls this once per step.
        """
        ...


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Handles SIGTERM (from a scheduler) and SIGINT (Ctrl-C).

    In a single process the first signal requests the end, and a second one kills the
    process as usual. With many processes a signal to any one of them is enough.
    """
    if jax.process_count() > 1:
        with _ctrl_c_as_sigterm():
            yield _AllProcesses()
        return
    stop = _ThisProcess()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Only the main thread may set signal handlers.
        return
    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}

    def restore():
        for signum, handler in handlers.items():
            signal.signal(signum, handler)

    def request(*_):
        stop.set()
        restore()

    for signum in handlers:
        signal.signal(signum, request)
    try:
        yield stop
    finally:
        restore()


class _ThisProcess(threading.Event):
    def requested(self, step: int) -> bool:
        del step
        return self.is_set()


class _AllProcesses:
    """JAX catches SIGTERM in every process, and all agree on the step to end after."""

    def requested(self, step: int) -> bool:
        return multihost_utils.reached_preemption_sync_point(step)


@contextmanager
def _ctrl_c_as_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(*_):
        signal.signal(signal.SIGINT, before)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
