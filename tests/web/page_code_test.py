"""The page's own tests, which node runs."""

import importlib.util
import json
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


def test_the_record_that_the_page_is_compared_with_is_the_server_s():
    folder = ROOT / "tests/web/page"
    spec = importlib.util.spec_from_file_location("goldens", folder / "make_goldens.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    goldens = json.loads((folder / "goldens.json").read_text())
    assert goldens["record"] == module.record((20, 31))


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
