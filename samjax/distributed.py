"""JAX multi-process runs: start-up, and termination of all processes together.

Every process of a job runs the same program on its own devices. If one of them fails, the
others end within a bounded time:

- One is killed, or its host fails: within `heartbeat`, by JAX, which names it.
- One raises, inside `ending_together`: within `heartbeat`; at once if it is process 0.
- One hangs: within `step` or `pause`, by `samjax.training.runtime.watchdog`.
- One is missing at the start: within twice `start`.

JAX catches SIGTERM in all of them (`samjax.training.runtime.signals`).
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax

WAYS = "auto, tpu, slurm, or HOST:PORT,RANK,COUNT"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Timeouts, in seconds, of the processes of a run.

    Attributes:
        start: Until all processes have started.
        heartbeat: Between heartbeats of a process.
        leave: Until all processes have ended, at the end of the run.
        step: Duration of a training step; also the largest delay of one process behind the others.
        pause: Duration of longer phases: the first step of a stage, which compiles a program, an
            evaluation, a picture, a checkpoint.
    """

    start: int = 300
    heartbeat: int = 60
    leave: int = 60
    step: int = 600
    pause: int = 3600


def start(way: str | None, bounds: Bounds) -> None:
    """Connects to the other processes; must be called before any use of a device.

    Args:
        way: How processes find each other. `"tpu"`: from the metadata of a TPU pod;
            `"slurm"`: from SLURM's environment; `"HOST:PORT,RANK,COUNT"`: at the address
            of process 0, with rank and number of processes; `"auto"`: whichever of these
            the environment has, or a single process. None: a single process.
        bounds: Timeouts.

    Raises:
        ValueError: `way` is none of these, or does not fit the environment.
        RuntimeError: The other processes did not start in time.
    """
    if way is None:
        return
    _prepare_cpu(bounds.step)
    options: dict[str, object] = {}
    if way in ("tpu", "slurm"):
        _check_environment(way)
        options = {} if way == "tpu" else {"cluster_detection_method": "slurm"}
    elif way != "auto":
        options = _address(way)
    try:
        jax.distributed.initialize(
            initialization_timeout=bounds.start,
            heartbeat_timeout_seconds=bounds.heartbeat,
            shutdown_timeout_seconds=bounds.leave,
            **options,  # pyright: ignore[reportArgumentType]
        )
    except ValueError as error:
        if way != "auto" or "should be defined" not in str(error):
            raise
        print("no cluster environment found: running as a single process")
        return
    print(
        f"process {jax.process_index()} of {jax.process_count()}: a process that is"
        f" lost ends all others within {bounds.heartbeat} s, one that is stuck within"
        f" {bounds.step} s",
        flush=True,
    )


@contextmanager
def ending_together() -> Iterator[None]:
    """Exits the process at once on an exception, which makes the other processes end.

    Normal shutdown would wait for the other processes, which wait for this one in a
    collective operation: a deadlock. In a single-process run exceptions propagate.
    """
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        print(
            f"process {jax.process_index()} of {jax.process_count()} ends, and the"
            f" others with it: {error}\nstart all of them again with --resume to go on"
            " from the newest checkpoint",
            file=sys.stderr,
        )
        end_now(1)


def end_now(code: int) -> None:
    """Exits this process without waiting for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _address(way: str) -> dict[str, object]:
    parts = way.split(",")
    host, _, port = parts[0].rpartition(":")
    if len(parts) != 3 or not host or not all(p.isdigit() for p in (port, *parts[1:])):
        raise ValueError(f"got --distributed {way}, expected {WAYS}")
    rank, count = int(parts[1]), int(parts[2])
    if rank >= count:
        raise ValueError(
            f"got rank {rank} of {count} processes in {way}, expected 0 to {count - 1}"
        )
    return {
        "coordinator_address": parts[0],
        "process_id": rank,
        "num_processes": count,
    }


def _check_environment(way: str) -> None:
    # JAX would try all kinds of clusters, and fail with a misleading error.
    if way == "slurm" and "SLURM_JOB_ID" not in os.environ:
        raise ValueError(
            "got --distributed slurm outside of a SLURM job: start it with srun"
        )


def _prepare_cpu(seconds: int) -> None:
    """Configures CPU collectives: no asynchronous dispatch, and a timeout.

    Two steps in flight on CPUs can deadlock in each other's collectives. The timeout is
    a little longer than the watchdog's, whose message is better, and covers operations
    that the watchdog does not watch.
    """
    if os.environ.get("JAX_PLATFORMS", "") != "cpu":
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    seconds += 30
    flag = "--xla_cpu_collective_timeout_seconds"
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}={seconds}".strip()
