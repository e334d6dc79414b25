"""Watchdog: ends a process whose step takes too long.

Heartbeats show that a process is alive, not that it makes progress: where one of many
hangs, for example in a read from a broken file system, all others wait for ever in the
collectives of their step.
"""

import sys
import threading
import time
from collections.abc import Callable


class Watchdog:
    """A thread with a deadline that every step moves, until it is closed.

    Args:
        end: Called once, when a deadline has passed; None starts no thread.
    """

    def __init__(self, end: Callable[[], None] | None):
        self._allowed = (0, 0.0, float("inf"))
        self._closed = threading.Event()
        if end is not None:
            threading.Thread(
                target=self._watch, args=(end,), name="samjax-watchdog", daemon=True
            ).start()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()

    def allow(self, seconds: float, after: int) -> None:
        """Sets the deadline of the next call: so many seconds from now.

        Args:
            seconds: Time until the deadline.
            after: Steps done, for the message.
        """
        self._allowed = after, seconds, time.monotonic() + seconds

    def _watch(self, end: Callable[[], None]) -> None:
        while not self._closed.wait(0.5):
            after, seconds, deadline = self._allowed
            if time.monotonic() > deadline:
                print(
                    f"nothing was finished for {seconds:g} s after step {after}: this"
                    " process, or another one that it waits for, is stuck. Ending this"
                    " one, and so all others; start them again with --resume",
                    file=sys.stderr,
                    flush=True,
                )
                end()
                return
