"""The page's own tests, which node runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# That of the environment first, which `make test` brings.
NODE = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
    "node"
)


@pytest.mark.skipif(NODE is None, reason="there is no node")
def test_the_parts_of_the_page_do_what_they_should():
    files = sorted(str(path) for path in (ROOT / "tests/web/page").glob("*.test.js"))
    assert len(files) > 3
    done = subprocess.run(
        [str(NODE), "--test", *files],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
