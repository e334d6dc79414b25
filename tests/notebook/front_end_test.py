"""Runs the tests of the widget's front end in node."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The node of the environment first, which `make test` installs.
NODE = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
    "node"
)


@pytest.mark.skipif(NODE is None, reason="there is no node")
def test_the_front_end_s_own_tests_pass():
    files = sorted(str(path) for path in HERE.glob("*.test.js"))
    assert files
    done = subprocess.run(
        [str(NODE), "--test", *files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
