"""A build by one or several processes: sharding of the work, and its progress."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from samjax.data.tfds.convert import Progress, convert_shard
from samjax.data.tfds.layout import Plan


def share_of_shards(plan: Plan, index: int, count: int) -> range:
    """Returns the shards of one of several commands that share a build.

    Args:
        plan: The plan of the build.
        index: Index of the command, from 0.
        count: Number of the commands.

    Raises:
        ValueError: There is no such share.
    """
    if not 0 <= index < count:
        raise ValueError(f"got share {index} of {count}, expected 0 to {count - 1}")
    return range(index, plan.num_shards, count)


def build_shards(
    plan: Plan, shards: Sequence[int], *, workers: int = 1
) -> Iterator[Progress]:
    """Builds shards of a dataset; to be followed by `samjax.data.tfds.metadata.finish`.

    Args:
        plan: The plan of the build.
        shards: Indices of the shards.
        workers: Number of processes; with one, the shards are built in this process.

    Yields:
        The progress of each shard.

    Raises:
        OSError: A tar cannot be read, or a shard not written.
        ValueError: A process was killed; finished shards are kept.
    """
    workers = min(workers, len(shards))
    if workers <= 1:
        for shard in shards:
            yield from convert_shard(plan, shard)
        return
    # A forked process would inherit locks that threads of this one may hold.
    context = multiprocessing.get_context("spawn")
    processes: dict[Connection, Any] = {}
    try:
        for index in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_build_and_report,
                args=(sender, plan, list(shards[index::workers])),
                daemon=True,
            )
            process.start()
            # Only the process itself keeps the sender open: it closes when that dies.
            sender.close()
            processes[receiver] = process
        yield from _receive(processes)
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _receive(processes: dict[Connection, Any]) -> Iterator[Progress]:
    running = set(processes)
    while running:
        for connection in wait(running):
            assert isinstance(connection, Connection)
            try:
                message = connection.recv()
            except EOFError:
                running.remove(connection)
                process = processes[connection]
                process.join()
                if process.exitcode:
                    raise ValueError(
                        f"a process ended with status {process.exitcode} (-9: it was "
                        "killed, often for lack of memory): run the same command "
                        "again to resume"
                    ) from None
                continue
            if isinstance(message, Exception):
                raise message
            yield message


def _build_and_report(connection: Connection, plan: Plan, shards: list[int]) -> None:
    """Builds shards in a worker process and sends the progress to its parent.

    It ends when the parent has ended.
    """
    # Ctrl-C reaches all processes of a terminal; the parent terminates the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for shard in shards:
            for progress in convert_shard(plan, shard):
                connection.send(progress)
    except BrokenPipeError:
        return
    except (OSError, ValueError, ImportError) as error:
        connection.send(error)
