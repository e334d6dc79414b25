"""Ends a process whose step does not come to its end.

Heartbeats tell that a process is alive, not that it still works: where one of many is
stuck, in a read from a broken file system say, all others wait in their step for ever.
"""

import sys
import threading
import time
from collections.abc import Callable


class Watchdog:
    """Waits in a thread for signs of progress, until it is closed.

    Args:
        end: Called, once, if one did not come in time; None for no watch at all.
    """

    def __init__(self, end: Callable[[], None] | None):
        self._allowed = (0, 0.0, float("inf"))
        self._closed = threading.Event()
        if end is not None:
            threading.Thread(
                target=self._watch, args=(end,), name="samjax-watchdog", daemon=True
            ).start()

    def close(self) -> None:
        """Watches no longer."""
        self._closed.set()

    def allow(self, seconds: float, after: int) -> None:
        """Says that `after` steps are done, and how long there may be no other sign."""
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
