"""The notebooks run from top to bottom without a network, and both of their forms agree."""

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
TOOLS = ROOT / "tools"
FILES = sorted(NOTEBOOKS.glob("*.ipynb"))

# Bounds on what a reader downloads, and on what a cell may print.
MOST_BYTES = 300_000
MOST_TEXT = 2_000
# Seconds after which a cell is taken to hang, on a machine that other work shares.
HANGS = 3_600


class Budget(NamedTuple):
    """Processor time of a notebook, in seconds: the same whatever else the machine does.

    Attributes:
        seconds: The budget, of the kernel and its subprocesses.
        is_fast: Whether it runs in `make test`, not in `make test-exhaustive` alone.
    """

    seconds: int
    is_fast: bool = False


BUDGETS = {
    "data_engine": Budget(1200),
    "evaluation": Budget(300),
    "everything": Budget(200),
    "fine_tune": Budget(900),
    "migrate": Budget(150),
    "predictor": Budget(300, is_fast=True),
    "text": Budget(150),
    "tpu_training": Budget(400),
    "under_the_hood": Budget(200),
}


def runs():
    """Every notebook with its budget, marked by how long it takes."""
    for name, budget in BUDGETS.items():
        marks = [] if budget.is_fast else [pytest.mark.exhaustive]
        yield pytest.param(name, budget.seconds, marks=[pytest.mark.slow, *marks])


@pytest.fixture(scope="module")
def tool():
    """The tool that writes and runs notebooks."""
    packages = ("jupytext", "nbclient", "ipykernel", "matplotlib", "skimage")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs the extra notebooks: there is no {', '.join(missing)}")
    sys.path.append(str(TOOLS))
    try:
        return importlib.import_module("run_notebooks")
    finally:
        sys.path.remove(str(TOOLS))


def read(path: Path) -> dict:
    """The content of a notebook's file."""
    return json.loads(path.read_text())


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def named(test):
    return pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)(test)


def test_every_notebook_has_both_forms_and_a_budget():
    names = {path.stem for path in FILES}
    assert names == {path.stem for path in NOTEBOOKS.glob("*.py")} == set(BUDGETS)


@pytest.mark.filterwarnings("ignore")
@named
def test_both_forms_have_the_same_cells(tool, path: Path):
    source = tool.read_source(path.with_suffix(".py"))
    cells = [(cell.cell_type, cell.source, cell.id) for cell in source.cells]
    stored = [
        (cell["cell_type"], "".join(cell["source"]), cell["id"])
        for cell in read(path)["cells"]
    ]
    assert stored == cells, "write it anew: python tools/run_notebooks.py"
    assert read(path)["metadata"] == tool.METADATA


@pytest.mark.filterwarnings("ignore")
@named
def test_jupytext_brings_a_notebook_back_to_its_percent_file(tool, path: Path):
    import jupytext

    percent = path.with_suffix(".py")
    again = jupytext.reads(jupytext.writes(jupytext.read(path), "py:percent"), "py")
    cells = jupytext.read(percent).cells
    assert [cell.source for cell in again.cells] == [cell.source for cell in cells]


@named
def test_a_notebook_is_small_and_was_run_in_order_if_at_all(path: Path):
    assert path.stat().st_size < MOST_BYTES
    cells = code_cells(path)
    counts = [cell["execution_count"] for cell in cells]
    assert counts in (list(range(1, len(cells) + 1)), [None] * len(cells))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] in ("display_data", "execute_result", "stream")
            assert output.get("name") != "stderr"
            data = output.get("data", {"text/plain": output.get("text", "")})
            assert set(data) in ({"image/jpeg"}, {"text/plain"})
            assert len("".join(data.get("text/plain", ""))) < MOST_TEXT


@named
def test_a_notebook_names_no_folder_of_a_machine(path: Path):
    outputs = [cell["outputs"] for cell in code_cells(path)]
    found = re.search(r"/(tmp|home|root|Users|var)/\w+", json.dumps(outputs))
    assert not found, found


@named
def test_the_first_cell_installs_samjax_with_extras_that_exist(path: Path):
    first = "".join(code_cells(path)[0]["source"])
    assert 'if importlib.util.find_spec("samjax") is None' in first
    # With the extras in brackets, or without any.
    (extras,) = re.findall(r"install -q '?samjax(?:\[([\w,]+)\])?", first)
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(filter(None, extras.split(","))) <= set(known)


@named
def test_a_notebook_opens_with_its_title(path: Path):
    assert read(path)["cells"][0]["cell_type"] == "markdown"
    assert "".join(read(path)["cells"][0]["source"]).startswith("# ")


@named
def test_links_lead_to_files(path: Path):
    cells = read(path)["cells"]
    text = "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
    )
    # Inline code has brackets of its own.
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"`[^`]*`", "", text))
    assert links
    for link in links:
        assert link.startswith("https://") or (path.parent / link).exists(), link


def test_the_table_has_every_notebook_and_its_badge():
    readme = (NOTEBOOKS / "README.md").read_text()
    with (ROOT / "pyproject.toml").open("rb") as file:
        urls = tomllib.load(file)["project"].get("urls", {})
    expects_badges = "github.com" in urls.get("Source", "")
    for path in FILES:
        assert f"]({path.name})" in readme
        title = "".join(read(path)["cells"][0]["source"])
        for text in (readme, title):
            assert (f"/notebooks/{path.name})" in text) == expects_badges


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder outside the checkout into which a wheel of samjax is installed."""
    sources = tmp_path_factory.mktemp("sources")
    # The build writes beside its sources.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(
        ROOT / "samjax",
        sources / "samjax",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    wheels, folder = sources / "wheels", tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps"]
    build = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", wheels, sources]
    subprocess.run([*pip, *build], check=True)
    [wheel] = wheels.glob("samjax-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder, wheel], check=True)
    return folder


def without_network(**variables: str) -> dict[str, str]:
    """The environment of a kernel that cannot download anything."""
    # Nothing listens on this port: whoever asks for a download fails at once.
    nowhere = "http://127.0.0.1:9"
    proxies = {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "PIP_NO_INDEX": "1"}
    return os.environ | proxies | variables


@pytest.mark.parametrize(("name", "seconds"), list(runs()))
# Jupyter's own warnings, of this process: the notebook runs in another one.
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_runs_on_an_installed_wheel(
    tool, name: str, seconds: int, installed: Path, tmp_path: Path
):
    from nbformat import v4

    notebook = tool.read_source(NOTEBOOKS / f"{name}.py")
    first = v4.new_code_cell(
        "import importlib.util\n"
        f'assert importlib.util.find_spec("samjax").origin.startswith({str(installed)!r})'
    )
    last = v4.new_code_cell("import os\nprint(sum(os.times()[:4]))")
    notebook.cells = [first, *notebook.cells, last]
    environment = without_network(PYTHONPATH=str(installed))
    tool.execute(notebook, tmp_path, timeout=HANGS, environment=environment)
    spent = float(notebook.cells[-1].outputs[0].text)
    print(f"{name}: {spent:.0f} s of processor time")
    assert spent < seconds


@pytest.mark.parametrize(
    ("cell", "seconds", "error"),
    [
        ("1 / 0", 60, "ZeroDivisionError"),
        ("assert False", 60, "AssertionError"),
        ("from urllib import request\nrequest.urlopen('http://a.org')", 60, "refused"),
        ("import time\ntime.sleep(60)", 10, "(?i)time"),
    ],
    ids=["an error", "a failed assertion", "a download", "too slow"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_cell_that_fails_or_takes_too_long_is_an_error(
    tool, cell: str, seconds: int, error: str, tmp_path: Path
):
    from nbclient.exceptions import CellControlSignal
    from nbformat import v4

    notebook = v4.new_notebook(
        cells=[v4.new_code_cell("a = 1"), v4.new_code_cell(cell)]
    )
    with pytest.raises(CellControlSignal, match=error):
        tool.execute(notebook, tmp_path, timeout=seconds, environment=without_network())
