"""Prefetching: a thread reads batches before the steps that use them."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from samjax.data.batch import ReaderSource, Source


class Fetched(NamedTuple):
    """A batch on the devices.

    Attributes:
        batch: The batch, as `put` returned it.
        position: Position of the source after this batch; None where it has none.
    """

    batch: Any
    position: dict[str, int] | None


def prefetched(
    source: Source, put: Callable[[Any], Any], steps: range, *, ahead: int = 2
) -> Generator[Fetched, None, None]:
    """Yields the batches of some steps, read by a thread while the devices work.

    At most `ahead` batches wait beside the yielded one. Close the iterator when it is
    left early: that ends the thread, and closes the source.

    Args:
        source: Source of the batches; its exceptions are raised here.
        put: Puts a batch on the devices.
        steps: Steps to read the batches of.
        ahead: Most batches that wait.
    """
    reader = source if isinstance(source, ReaderSource) else None

    def read(step: int) -> Fetched:
        batch = put(source.batch(step))
        return Fetched(batch, None if reader is None else reader.position)

    waiting: deque[Future[Fetched]] = deque()
    thread = ThreadPoolExecutor(1, thread_name_prefix="samjax-prefetch")
    try:
        for step in steps:
            waiting.append(thread.submit(read, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)
        if reader is not None:
            reader.close()
