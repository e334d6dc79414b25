"""Batches of an endless sequence of examples, read ahead and dealt out to processes.

Grain reads ahead in threads or worker processes, and shares each batch among the
processes of a run. What it has seen is one number, the index of the next example, so a
run goes on exactly with another number of workers or processes: the rows of a step are
those of the sequence from `step * batch_size` on, of which process p of n has the p-th of
n equal parts.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ExampleSequence(Protocol):
    """Examples by index; it can be pickled and read by many threads at once."""

    def __len__(self) -> int:
        """Returns how many there are, which is to be more than a run reads."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Returns an example: arrays of fixed shapes, in tuples."""
        ...


class BatchReader:
    """Reads the batches of a sequence of examples.

    Steps in order are read ahead; another step than the next starts reading there. With
    workers, the program must have the `if __name__ == "__main__":` guard that starting
    processes takes.

    Args:
        examples: The examples.
        batch_size: Examples of a batch, over all processes.
        workers: Processes that make examples; 0 for threads.
        prefetch: Batches ready ahead, for each worker.
        process_index: Which part of each batch.
        process_count: Of how many equal parts.

    Raises:
        ValueError: the batch has no such parts.
    """

    def __init__(
        self,
        examples: ExampleSequence,
        *,
        batch_size: int,
        workers: int = 0,
        prefetch: int = 2,
        process_index: int = 0,
        process_count: int = 1,
    ):
        import grain

        if not 0 <= process_index < process_count or batch_size % process_count:
            raise ValueError(
                f"got {batch_size=} for process {process_index} of {process_count}, "
                "expected a number that the processes can share equally"
            )
        self._batch_size = batch_size
        self._next_step = 0
        self._iterator = _elastic_iterator(
            grain.MapDataset.source(_InParts(examples, batch_size, process_count)),
            batch_size,
            (process_index, process_count),
            workers,
            prefetch,
        )

    def read(self, step: int) -> Any:
        """Returns this process's part of the examples of one step, stacked.

        Raises:
            RuntimeError: a worker was lost.
        """
        if step != self._next_step:
            self._iterator.set_state({"global_next_index": step * self._batch_size})
            self._next_step = step
        try:
            examples = next(self._iterator)
        except StopIteration as error:
            raise RuntimeError(
                f"the dataset ended at step {step}, which only happens when a worker is "
                "lost: see what it printed, and whether memory or /dev/shm is full"
            ) from error
        self._next_step += 1
        return examples

    @property
    def position(self) -> dict[str, int]:
        """The state that a checkpoint keeps: the index of the next example, over all epochs."""
        return {"global_next_index": self._next_step * self._batch_size}

    def close(self) -> None:
        """Ends threads and workers."""
        self._iterator.close()


class _InParts:
    """A dataset in the order in which every n-th example is of one process.

    That is how `ElasticIterator` shares out a batch; the rows of each process are to be
    neighbours in the batch, wherever the borders between processes are.
    """

    def __init__(self, examples: Any, batch_size: int, process_count: int):
        self._examples, self._batch_size = examples, batch_size
        self._process_count = process_count

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Any:
        start, row = divmod(index, self._batch_size)
        place, process = divmod(row, self._process_count)
        row = process * (self._batch_size // self._process_count) + place
        return self._examples[start * self._batch_size + row]


def _elastic_iterator(
    dataset: Any,
    batch_size: int,
    part: tuple[int, int],
    workers: int,
    prefetch: int,
) -> Any:
    """The only place that knows grain's elastic iterator, which is experimental."""
    import grain
    from grain.experimental import ElasticIterator

    # Grain's defaults would hold 500 batches ready.
    threads = 1 if workers else prefetch
    processes = None
    if workers:
        _mark_flags_as_parsed()
        processes = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=prefetch
        )
    return iter(
        ElasticIterator(
            dataset,
            batch_size,
            grain.sharding.ShardOptions(*part),
            read_options=grain.ReadOptions(
                num_threads=threads, prefetch_buffer_size=threads
            ),
            multiprocessing_options=processes,
        )
    )


def _mark_flags_as_parsed() -> None:
    from absl import flags

    # Grain's workers read absl's flags, which fails in programs that have none.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
