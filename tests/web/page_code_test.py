"""Runs the page's own tests in node, and ties their expected values to samjax."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samjax.inference import Prompt

ROOT = Path(__file__).parents[2]
PAGE_TESTS = ROOT / "tests" / "web" / "page"
# The node of the environment first, which `make test` installs.
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
def test_the_page_s_own_tests_pass():
    files = sorted(str(path) for path in PAGE_TESTS.glob("*.test.js"))
    assert len(files) > 5
    done = subprocess.run(
        [str(NODE), "--test", *files],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_goldens_of_ambiguous_prompts_are_samjax_s_rule():
    goldens = json.loads((PAGE_TESTS / "goldens.json").read_text())["ambiguous"]
    values = {"box": [0, 0, 1, 1], "mask": np.zeros((256, 256)), "text": "a dog"}
    for golden in goldens:
        points = [[i, i] for i in range(golden["points"])]
        prompt = Prompt(
            points=points,
            labels=[1] * len(points),
            **{name: values[name] for name in golden["fields"]},
        )
        assert prompt.is_ambiguous == golden["is_ambiguous"]
    assert {golden["is_ambiguous"] for golden in goldens} == {True, False}
