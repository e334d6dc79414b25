"""Twenty kills of a run: what is left of it goes on as if nothing had been."""

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training.killed_run import STEPS, start_or_resume

ROOT = Path(__file__).parents[2]
KILLS = 20

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    words = "--tars 2 --images 9 --height 36 --width 48 --masks 5 --content noise --damage 4"
    program = [
        sys.executable,
        str(ROOT / "tools" / "make_sa1b.py"),
        "--out",
        str(folder),
    ]
    subprocess.run([*program, *words.split()], check=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def processes():
    """Makes processes that have imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.killed_run", "samjax.data.sa1b.source"])
    return context


def records(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def losses(out):
    """All that was logged of all steps, in order; exact, since JSON keeps every bit."""
    found = [record for record in records(out / "metrics.jsonl") if "loss" in record]
    assert [record["step"] for record in found] == list(range(1, len(found) + 1))
    return found


def order(out):
    """The examples of each step; a step that was repeated had the same each time."""
    found = {}
    for record in records(out / "order.jsonl"):
        assert found.setdefault(record["step"], record["index"]) == record["index"]
    return found


def test_a_run_killed_twenty_times_is_the_run_that_was_not(data, processes, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = processes.Process(target=start_or_resume, args=(str(whole), str(data)))
    process.start()
    process.join()
    assert process.exitcode == 0 and len(losses(whole)) == STEPS

    seed = int(np.random.default_rng().integers(2**32))
    rng = np.random.default_rng(seed)
    reached = []
    for kill in range(KILLS):
        process = processes.Process(
            target=start_or_resume, args=(str(killed), str(data))
        )
        process.start()
        before = len(records(killed / "metrics.jsonl"))
        # Some before the first step; most somewhere in a step, a write or a checkpoint.
        wanted = before + (0 if kill % 5 == 4 else int(rng.integers(1, 4)))
        while len(records(killed / "metrics.jsonl")) < wanted and process.is_alive():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05 if wanted > before else 1.0))
        assert process.is_alive(), f"seed {seed}: the run was over before kill {kill}"
        process.kill()
        process.join()
        assert process.exitcode == -9
        reached.append(len(records(killed / "metrics.jsonl")))
    process = processes.Process(target=start_or_resume, args=(str(killed), str(data)))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert losses(killed) == losses(whole), f"seed {seed}, killed at {reached}"
    assert order(killed) == order(whole), f"seed {seed}, killed at {reached}"
    bad = sum(record["bad_examples"] for record in losses(whole))
    assert 0 < bad < 2 * STEPS
