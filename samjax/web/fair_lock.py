"""A lock for those who come again and again: nobody gets it twice before others once."""

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """A lock that is given in the order in which it was asked for.

    Of the standard library's whoever releases one may take it again at once, however
    long others have been waiting.
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
            # Handed on without being free in between.
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False
