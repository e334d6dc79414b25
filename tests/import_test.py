"""Importing samjax is light, and gives its public names alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "tensorflow", "cv2", "grain", "tensorflow_datasets")


def fresh_interpreter(code: str) -> str:
    """Runs `code` in a new Python in the repository's root and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_samjax_is_light():
    code = (
        "import time, jax; start = time.process_time(); import samjax; "
        "print(time.process_time() - start)"
    )
    assert float(fresh_interpreter(code)) < 1.0


def test_the_public_names_load_nothing_heavy():
    code = (
        "import sys, samjax; [getattr(samjax, name) for name in samjax.__all__]; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert fresh_interpreter(code) == "[]"


def test_a_name_that_samjax_lacks_is_an_attribute_error():
    import samjax

    assert set(samjax.__all__) <= set(dir(samjax))
    with pytest.raises(AttributeError, match="no_such_name"):
        samjax.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    ("modules", "extra"),
    [
        ("files.reading checkpoints.download data.sa1b.tars", "sys"),
        ("web.beneath web.uploads web.connections", "uvicorn"),
    ],
    ids=["core", "web"],
)
def test_what_windows_lacks_is_not_imported(modules, extra):
    pytest.importorskip(extra, reason="needs the extra web")
    names = ", ".join(f"samjax.{name}" for name in modules.split())
    # A module of None cannot be imported.
    code = (
        f"import sys, os, {extra}; "
        "sys.modules.update(dict.fromkeys(['fcntl', 'resource', 'pwd', 'grp'])); "
        "[delattr(os, name) for name in ('pread', 'O_NOFOLLOW', 'O_DIRECTORY')]; "
        f"import samjax.files.locks, samjax.web.beneath, {names}; "
        "print(samjax.web.beneath._WALKS, samjax.files.locks.fcntl)"
    )
    assert fresh_interpreter(code) == "False None"
