"""Asks for batches before the steps that need them."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from samjax.data.batch import Source


class Fetched(NamedTuple):
    """A batch that is ready.

    Attributes:
        batch: Where `place` put it.
        position: The source's, after this batch; None where it has none.
    """

    batch: Any
    position: dict[str, int] | None


def prefetched(
    source: Source, place: Callable[[Any], Any], steps: range, *, ahead: int = 2
) -> Generator[Fetched, None, None]:
    """Yields the batches of some steps, read by a thread while the devices work.

    At most `ahead` batches wait beside the one that was yielded. Close the iterator
    when it is left early: that ends the thread, and what the source keeps open.

    Args:
        source: Where batches come from; what it raises is raised here.
        place: Puts a batch on the devices.
        steps: Which ones.
        ahead: Batches that may wait.
    """

    def read(step: int) -> Fetched:
        batch = place(source.batch(step))
        return Fetched(batch, getattr(source, "position", None))

    waiting: deque[Future[Fetched]] = deque()
    reader = ThreadPoolExecutor(1, thread_name_prefix="samjax-prefetch")
    try:
        for step in steps:
            waiting.append(reader.submit(read, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)
        close = getattr(source, "close", None)
        if close is not None:
            close()
