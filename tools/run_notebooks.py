"""Writes the notebooks: the `.ipynb` of every `.py` in `notebooks/`, with small outputs.

    python tools/run_notebooks.py                      # cells from the .py, outputs kept
    python tools/run_notebooks.py --run predictor      # runs one first, and stores its outputs

The `.py` files (jupytext's percent form) are the sources: edit them, or edit a `.ipynb`
and bring it back by `jupytext --sync notebooks/NAME.ipynb`. The notebooks need the extra
`notebooks`. Where `[project.urls]` of pyproject.toml has a `Source` on GitHub, every
notebook and the table in `notebooks/README.md` get a badge that opens it in Colab.
"""

import argparse
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
GITHUB = "https://github.com/"
COLAB = "https://colab.research.google.com"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

# The only metadata that a notebook keeps: what ran it is no business of its reader.
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
    "jupytext": {"formats": "ipynb,py:percent"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the notebooks.")
    parser.add_argument("names", nargs="*", help="notebooks (default: all)")
    parser.add_argument("--run", action="store_true", help="run them, store outputs")
    options = parser.parse_args()
    for source in sources():
        if options.names and source.stem not in options.names:
            continue
        path = source.with_suffix(".ipynb")
        notebook = read_source(source)
        if options.run:
            with tempfile.TemporaryDirectory() as folder:
                execute(notebook, Path(folder))
        elif path.exists():
            keep_outputs(notebook, nbformat.read(path, as_version=4))
        nbformat.write(notebook, path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    readme = NOTEBOOKS / "README.md"
    readme.write_text(with_badges(readme.read_text()))


def sources() -> list[Path]:
    """Returns the percent files, sorted by name."""
    return sorted(NOTEBOOKS.glob("*.py"))


def read_source(path: Path) -> NotebookNode:
    """Reads a percent file as a notebook without outputs, with the badge in its title."""
    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict(METADATA)
    # Ids are random otherwise, and every run would change the file.
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    address = badge(path.stem)
    if address:
        title, _, rest = notebook.cells[0].source.partition("\n")
        notebook.cells[0].source = f"{title}\n\n{address}\n{rest}"
    return notebook


def badge(name: str) -> str | None:
    """Returns the Markdown of a notebook's Colab badge; None without an address."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        source = tomllib.load(file)["project"].get("urls", {}).get("Source", "")
    if not source.startswith(GITHUB):
        return None
    repository = source.removeprefix(GITHUB).strip("/").removesuffix(".git")
    target = f"{COLAB}/github/{repository}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})"


def with_badges(readme: str) -> str:
    """Puts the badge after the link to every notebook in a table; removes old ones."""
    readme = re.sub(r" \[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)", "", readme)

    def add(link: re.Match) -> str:
        address = badge(link[1])
        return link[0] if address is None else f"{link[0]} {address}"

    return re.sub(r"(?<=\| )\[\w+\]\((\w+)\.ipynb\)", add, readme)


def execute(
    notebook: NotebookNode,
    folder: Path,
    *,
    timeout: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs all cells of a notebook and stores their outputs, without error streams.

    Args:
        notebook: The notebook.
        folder: Working directory of its kernel.
        timeout: Seconds that a cell may take.
        environment: Environment of the kernel; None for that of this process.

    Raises:
        CellExecutionError: A cell fails.
        CellTimeoutError: A cell takes longer.
    """
    client = NotebookClient(
        notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}}
    )
    arguments: dict[str, Any] = {} if environment is None else {"env": environment}
    client.execute(**arguments)
    tidy(notebook)


def tidy(notebook: NotebookNode) -> None:
    """Reduces the outputs of a run to pictures and plain text.

    Dropped are error streams, the HTML and the colours that rich prints, and the text
    beside a picture, which has an address in memory.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop("text/html", None)
            if "image/jpeg" in data:
                data.pop("text/plain", None)
            if "text/plain" in data:
                data["text/plain"] = COLOURS.sub("", data["text/plain"])
        cell.outputs = [output for output in cell.outputs if _is_shown(output)]


def _is_shown(output: NotebookNode) -> bool:
    data = output.get("data", {"text/plain": output.get("text", "")})
    text = data.get("text/plain", "")
    return output.get("name") != "stderr" and (
        "image/jpeg" in data or bool(text.strip())
    )


def keep_outputs(notebook: NotebookNode, former: NotebookNode) -> None:
    """Copies the outputs of cells with the same source from a former file."""
    outputs = {cell.source: cell for cell in code_cells(former)}
    for cell in code_cells(notebook):
        if cell.source in outputs:
            cell.outputs = outputs[cell.source].outputs
            cell.execution_count = outputs[cell.source].execution_count


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Returns the code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


if __name__ == "__main__":
    main()
