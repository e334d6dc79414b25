"""`make release-check` refuses faulty wheels, and tries a wheel in a clean environment."""

import importlib.util
import sys
import zipfile
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "tools/release/check.py"
SPEC = importlib.util.spec_from_file_location("release_check", FILE)
assert SPEC is not None and SPEC.loader is not None
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)

INFO = "samjax-0.1.0.dist-info"
SOUND = [
    f"{INFO}/{name}" if name.startswith("licenses/") else name for name in check.NEEDED
]


def test_a_sound_wheel_is_accepted():
    check.check_contents([*SOUND, f"{INFO}/METADATA"], 70_000_000)


@pytest.mark.parametrize("name", check.NEEDED)
def test_a_wheel_lacks_none_of_its_parts(name):
    kept = [full for full in SOUND if not full.endswith(name)]
    with pytest.raises(check.ReleaseError, match=name):
        check.check_contents(kept, 1)


def test_a_missing_runtime_names_the_command_that_fetches_it():
    kept = [name for name in SOUND if "vendor" not in name]
    with pytest.raises(check.ReleaseError, match="make page"):
        check.check_contents(kept, 1)


@pytest.mark.parametrize(
    "name",
    ["tests/a_test.py", "samjax/__pycache__/a.pyc", "conftest.py", "samjax2/a.py"],
)
def test_nothing_else_belongs_in_a_wheel(name):
    with pytest.raises(check.ReleaseError, match="only samjax"):
        check.check_contents([*SOUND, name], 1)


def test_a_wheel_that_an_index_refuses_for_its_size_is_refused():
    with pytest.raises(check.ReleaseError, match=r"100\.1 MiB"):
        check.check_contents(SOUND, int(100.1 * check.MEBIBYTE))


def test_wheels_of_the_sdist_and_of_the_checkout_have_the_same_files(tmp_path):
    def wheel(name: str, **files: str) -> dict[str, str]:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
        return check.contents(tmp_path / name)

    built = wheel("a.whl", one="1", two="2", **{"x/RECORD": "one, two"})
    check.compare(built, wheel("b.whl", two="2", one="1", **{"x/RECORD": "two, one"}))
    for other in (
        wheel("c.whl", one="1"),
        wheel("d.whl", one="1", two="3"),
        wheel("e.whl", one="1", two="2", stale="3"),
    ):
        with pytest.raises(check.ReleaseError, match="differ in 1 files"):
            check.compare(built, other)


def test_a_program_sees_nothing_of_the_checkout_and_its_failure_ends_the_check(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(FILE.parents[2]))
    monkeypatch.setenv("SAMJAX_CACHE", "here")
    code = (
        "import os, sys; assert 'PYTHONPATH' not in os.environ;"
        " assert os.environ['SAMJAX_CACHE'] == 'there'; sys.exit(int(sys.argv[1]))"
    )
    cache = {"SAMJAX_CACHE": "there"}
    check.run(sys.executable, "-c", code, "0", cwd=tmp_path, **cache)
    with pytest.raises(check.ReleaseError, match="exit status 3"):
        check.run(sys.executable, "-c", code, "3", cwd=tmp_path, **cache)
