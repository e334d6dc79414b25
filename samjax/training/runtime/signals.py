"""Signals that ask a run to end."""

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
    """Whether a run is asked to end."""

    def asked(self, step: int) -> bool:
        """Tells it after a step; all processes get the same answer at the same step.

        Args:
            step: Steps done. Every process asks once per step.
        """
        ...


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Listens to SIGTERM (of a scheduler) and SIGINT (Ctrl-C).

    In a single process the first signal asks, and a second one ends it as usual. Of
    many processes it is enough that one gets a signal.
    """
    if jax.process_count() > 1:
        with _ctrl_c_as_sigterm():
            yield _AllProcesses()
        return
    stop = _ThisProcess()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Only the main thread may listen to signals.
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(*_):
        stop.set()
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()


class _ThisProcess(threading.Event):
    def asked(self, step: int) -> bool:
        del step
        return self.is_set()


class _AllProcesses:
    """JAX catches SIGTERM in every process and agrees with the others on a step."""

    def asked(self, step: int) -> bool:
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
