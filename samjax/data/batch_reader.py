"""Batches of an endless sequence of examples, prefetched and sharded over processes.

Grain prefetches in threads or worker processes and shards each batch over the processes
of a run. Its state is a single integer, the index of the next example, so a run can be
resumed exactly with another number of workers or processes: the rows of a step are the
examples from `step * batch_size` on, and process p of n reads the p-th of n equal
shards of each batch.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ExampleSequence(Protocol):
    """Examples by index; it can be pickled and read by many threads at once."""

    def __len__(self) -> int:
        """Returns the number of examples, which has to exceed what a run reads."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Returns an example: arrays of fixed shapes, in tuples."""
        ...


class BatchReader:
    """Reads the batches of a sequence of examples.

    Consecutive steps are prefetched; reading any other step restarts the prefetching
    there. With workers, the main module needs the `if __name__ == "__main__":` guard,
    as worker processes import it.

    Args:
        examples: The examples.
        batch_size: Examples per batch, over all processes.
        workers: Number of processes that prepare examples; 0 for threads.
        prefetch: Number of prefetched batches, per worker.
        process_index: The shard of each batch to read.
        process_count: Number of equal shards.

    Raises:
        ValueError: The batch cannot be divided into these shards.
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
                "expected a batch size that is a multiple of the number of processes"
            )
        self._batch_size = batch_size
        self._next_step = 0
        self._iterator = _elastic_iterator(
            grain.MapDataset.source(
                _ProcessMajorOrder(examples, batch_size, process_count)
            ),
            batch_size,
            (process_index, process_count),
            workers,
            prefetch,
        )

    def read(self, step: int) -> Any:
        """Returns this process's shard of the batch of one step, stacked.

        Raises:
            RuntimeError: A worker process died.
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
        """The state for a checkpoint: index of the next example, counted over all epochs."""
        return {"global_next_index": self._next_step * self._batch_size}

    def close(self) -> None:
        """Stops threads and worker processes."""
        self._iterator.close()


class _ProcessMajorOrder:
    """A permutation of each batch that gives every process contiguous rows.

    `ElasticIterator` assigns example i to process i modulo n. Contiguous rows make the
    global batch independent of the number of processes: shards are concatenated in
    order of the processes.
    """

    def __init__(self, examples: Any, batch_size: int, process_count: int):
        self._examples, self._batch_size = examples, batch_size
        self._process_count = process_count

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Any:
        start, row = divmod(index, self._batch_size)
        local_row, process = divmod(row, self._process_count)
        row = process * (self._batch_size // self._process_count) + local_row
        return self._examples[start * self._batch_size + row]


def _elastic_iterator(
    dataset: Any,
    batch_size: int,
    shard: tuple[int, int],
    workers: int,
    prefetch: int,
) -> Any:
    """Makes grain's elastic iterator; the API is experimental and used only here."""
    import grain
    from grain.experimental import ElasticIterator

    # Grain's defaults would prefetch 500 batches.
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
            grain.sharding.ShardOptions(*shard),
            read_options=grain.ReadOptions(
                num_threads=threads, prefetch_buffer_size=threads
            ),
            multiprocessing_options=processes,
        )
    )


def _mark_flags_as_parsed() -> None:
    from absl import flags

    # Grain's workers read absl's flags, which raises if the program never parsed them.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
