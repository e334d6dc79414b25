"""Many processes as one run: how they find each other, and how they end together.

Every process of a job runs the same program on its own devices. Whatever happens to one
of them, the others do not wait for ever:

| one process | the others end within |
|---|---|
| is killed, or its host dies | `heartbeat`, by JAX, which names it |
| fails, and leaves by `ending_together` | `heartbeat`; at once if it is process 0 |
| is alive, but stuck | `step` or `pause`, by `samjax.training.runtime.watchdog` |
| is missing at the start | twice `start` |

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
    """Seconds after which the processes of a run no longer wait for one another.

    Attributes:
        start: For all of them to be there.
        heartbeat: For a sign of life of any of them.
        leave: For all of them to have ended, at the end.
        step: For a step to be finished; also how much later than the others a process
            may come to it.
        pause: For what is more than a step: the first of a stage, for which a program
            is compiled, an evaluation, a picture, a checkpoint.
    """

    start: int = 300
    heartbeat: int = 60
    leave: int = 60
    step: int = 600
    pause: int = 3600


def start(way: str | None, bounds: Bounds) -> None:
    """Joins the other processes; has to come before anything asks for a device.

    Args:
        way: How they find each other. `"tpu"`: by what a TPU machine knows of its pod;
            `"slurm"`: by what SLURM says; `"HOST:PORT,RANK,COUNT"`: at the address of
            process 0, as one of so many; `"auto"`: by whatever of these the environment
            shows, or alone where it shows nothing. None: alone.
        bounds: How long they wait for one another.

    Raises:
        ValueError: `way` is none of these, or is not what the environment is.
        RuntimeError: The others did not come in time.
    """
    if way is None:
        return
    _prepare_cpu(bounds.step)
    found: dict[str, object] = {}
    if way in ("tpu", "slurm"):
        _check_environment(way)
        found = {} if way == "tpu" else {"cluster_detection_method": "slurm"}
    elif way != "auto":
        found = _address(way)
    try:
        jax.distributed.initialize(
            initialization_timeout=bounds.start,
            heartbeat_timeout_seconds=bounds.heartbeat,
            shutdown_timeout_seconds=bounds.leave,
            **found,  # pyright: ignore[reportArgumentType]
        )
    except ValueError as error:
        if way != "auto" or "should be defined" not in str(error):
            raise
        print("no other processes are in sight: going on in this one alone")
        return
    print(
        f"process {jax.process_index()} of {jax.process_count()}: a process that is"
        f" lost ends all others within {bounds.heartbeat} s, one that is stuck within"
        f" {bounds.step} s",
        flush=True,
    )


@contextmanager
def ending_together() -> Iterator[None]:
    """Ends this process at once if anything in the context fails, and so the others.

    An exception that leaves a process of many the usual way waits for the others, who
    wait for it in the step. In a process that is alone nothing is changed.
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
    """Ends this process without waiting for any other."""
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
    # JAX would try every kind of cluster, and fail with a riddle.
    if way == "slurm" and "SLURM_JOB_ID" not in os.environ:
        raise ValueError(
            "got --distributed slurm outside of a SLURM job: start it with srun"
        )


def _prepare_cpu(seconds: int) -> None:
    """Makes processes on CPUs wait for one another in order, and not for ever.

    Two steps in flight there wait for each other's sums. For what the watchdog, which
    says more, does not watch, a wait has a bound of its own, a little later.
    """
    if os.environ.get("JAX_PLATFORMS", "") != "cpu":
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    seconds += 30
    flag = "--xla_cpu_collective_timeout_seconds"
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}={seconds}".strip()
