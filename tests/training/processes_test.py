"""Runs of several real processes, on one machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("many_run.py")

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def start_processes(out, count, devices, steps, **misbehaviour):
    """Starts a run of `count` processes; what is said of the last goes to it alone."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    base = os.environ | {
        "PYTHONPATH": str(PROGRAM.parents[2]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    if misbehaviour.pop("cheap", False):
        base["CHEAP"] = "1"
    processes = []
    for rank in range(count):
        own = {k: str(v) for k, v in misbehaviour.items() if rank == count - 1}
        way = f"127.0.0.1:{port},{rank},{count}" if count > 1 else "alone"
        with open(f"{out}.{rank}.log", "w") as log:
            words = [str(PROGRAM), str(out), way, str(devices), str(steps)]
            processes.append(
                subprocess.Popen(
                    [sys.executable, *words], env=base | own, stdout=log, stderr=log
                )
            )
    return processes


def end_of(processes, seconds):
    """Waits for all to end, and returns how; kills what is still there after that."""
    until = time.monotonic() + seconds
    try:
        return [p.wait(max(until - time.monotonic(), 0.1)) for p in processes]
    except subprocess.TimeoutExpired:
        return [p.poll() for p in processes]
    finally:
        for process in processes:
            process.kill()


def run(out, count, devices, steps, **options):
    codes = end_of(start_processes(out, count, devices, steps, **options), 900)
    assert codes == [0] * count, said(out)


def said(out):
    logs = sorted(Path(out).parent.glob(f"{Path(out).name}.*.log"))
    return "\n".join(f"{log.name}:\n{log.read_text()}" for log in logs)


def losses(out):
    lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    found = {r["step"]: r["loss"] for r in map(json.loads, lines) if "loss" in r}
    assert list(found) == list(range(1, len(found) + 1))
    return list(found.values())


def wait_for_steps(out, number, processes):
    path = Path(out) / "metrics.jsonl"
    while not path.exists() or path.read_text().count("\n") < number:
        assert all(p.poll() is None for p in processes), said(out)
        time.sleep(0.05)


def test_a_run_gives_the_same_losses_on_any_number_of_processes(tmp_path):
    alone, four, two = (tmp_path / name for name in ("alone", "four", "two"))
    run(alone, 1, 4, 6)
    expected = losses(alone)
    assert len(expected) == 6
    run(four, 4, 1, 6)
    np.testing.assert_allclose(losses(four), expected, rtol=1e-5)

    # Two processes, of which one is asked to end: both save at the same step and leave.
    run(two, 2, 2, 6, TERMINATE_AT=2)
    done = len(losses(two))
    assert 0 < done < 6, said(two)
    assert (two / "checkpoints" / str(done)).exists()
    # What two saved, one goes on with, and four do.
    again = tmp_path / "again"
    shutil.copytree(two, again)
    run(two, 1, 4, 6)
    run(again, 4, 1, 6)
    for out in (two, again):
        np.testing.assert_allclose(losses(out), expected, rtol=1e-5)


@pytest.fixture
def lost(tmp_path):
    return tmp_path / "lost"


def test_a_process_that_is_killed_ends_the_other_and_the_run_goes_on_after_it(lost):
    processes = start_processes(lost, 2, 1, 2000, cheap=True)
    wait_for_steps(lost, 5, processes)
    processes[1].send_signal(signal.SIGKILL)
    # A heartbeat of 10 s, and 5 s to leave.
    codes = end_of(processes, 25)
    assert None not in codes and codes[0] != 0, said(lost)
    assert "lost ends all others within 10 s" in said(lost)
    kept = max(
        int(path.name)
        for path in (lost / "checkpoints").iterdir()
        if path.name.isdigit()
    )
    run(lost, 2, 1, 2000, cheap=True, TERMINATE_AT=kept + 4)
    assert len(losses(lost)) > kept + 3


def test_a_process_that_is_stuck_is_given_up(lost):
    processes = start_processes(lost, 2, 1, 2000, cheap=True, STUCK_AT=5)
    wait_for_steps(lost, 4, processes)
    codes = end_of(processes, 45)
    assert None not in codes and 0 not in codes, said(lost)
    assert "is stuck" in said(lost)


def test_a_process_that_fails_says_so_and_ends_the_other(lost):
    processes = start_processes(lost, 2, 1, 2000, cheap=True, FAIL_AT=5)
    codes = end_of(processes, 60)
    assert codes[1] == 1 and codes[0] not in (0, None), said(lost)
    assert "process 1 of 2 ends, and the others with it: the disk is gone" in said(lost)
