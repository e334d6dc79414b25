"""A build by one process or several: shares of the shards, and news of them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from samjax.data.tfds.convert import Progress, convert_shard
from samjax.data.tfds.layout import Plan


def share_of_shards(plan: Plan, index: int, count: int) -> range:
    """Returns the shards of one of those who share a build by hand.

    Args:
        plan: Of the build.
        index: Which of them, from 0.
        count: How many they are.

    Raises:
        ValueError: there is no such share.
    """
    if not 0 <= index < count:
        raise ValueError(f"got share {index} of {count}, expected 0 to {count - 1}")
    return range(index, plan.num_shards, count)


def build_shards(
    plan: Plan, numbers: Sequence[int], *, workers: int = 1
) -> Iterator[Progress]:
    """Builds some shards of a dataset; `metadata.finish` comes after it.

    Args:
        plan: Of the build.
        numbers: Of the shards.
        workers: Processes that do it. With one, it is done in this one.

    Yields:
        How far each shard is, as they go on.

    Raises:
        OSError: a tar cannot be read, or a shard not be written.
        ValueError: a process was killed; what is done stays done.
    """
    workers = min(workers, len(numbers))
    if workers <= 1:
        for number in numbers:
            yield from convert_shard(plan, number)
        return
    # Forked processes would share the threads and locks of this one's libraries.
    context = multiprocessing.get_context("spawn")
    processes: dict[Connection, Any] = {}
    try:
        for index in range(workers):
            here, there = context.Pipe(duplex=False)
            process = context.Process(
                target=_build_and_tell,
                args=(there, plan, list(numbers[index::workers])),
                daemon=True,
            )
            process.start()
            # Only the process itself holds the other end: it closes when that dies.
            there.close()
            processes[here] = process
        yield from _news(processes)
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _news(processes: dict[Connection, Any]) -> Iterator[Progress]:
    running = set(processes)
    while running:
        for connection in wait(running):
            assert isinstance(connection, Connection)
            try:
                news = connection.recv()
            except EOFError:
                running.remove(connection)
                process = processes[connection]
                process.join()
                if process.exitcode:
                    raise ValueError(
                        f"a process ended with status {process.exitcode} (-9: it was "
                        "killed, often for lack of memory): run the same command "
                        "again to go on"
                    ) from None
                continue
            if isinstance(news, Exception):
                raise news
            yield news


def _build_and_tell(connection: Connection, plan: Plan, numbers: list[int]) -> None:
    """What a process does. It ends when the one that started it has gone."""
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for number in numbers:
            for progress in convert_shard(plan, number):
                connection.send(progress)
    except BrokenPipeError:
        return
    except (OSError, ValueError, ImportError) as error:
        connection.send(error)
