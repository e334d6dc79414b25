"""Workers of an evaluation that is killed end with it."""

import os
import subprocess
import sys
import time

import pytest

PROGRAM = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from samjax.evaluation.measuring import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context, end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="processes are killed by signals")
def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, program],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    worker = int(ended.stdout)
    for _ in range(600):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail(f"the worker {worker} is still there")
