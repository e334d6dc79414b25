"""A first-come-first-served lock."""

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """A lock that threads acquire in the order of their requests.

    With `threading.Lock` a thread that releases and acquires in a loop can starve the
    others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            # Passed on without being released, so that no newcomer acquires it first.
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False
