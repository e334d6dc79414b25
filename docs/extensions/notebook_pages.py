"""Copies the notebooks beside the pages, where Sphinx finds them, and lists them."""

from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FOLDER = Path(__file__).parents[1] / "tutorials" / "notebooks"

# The order in which to read them; others follow.
ORDER = (
    "predictor",
    "everything",
    "text",
    "migrate",
    "fine_tune",
    "data_engine",
    "evaluation",
    "tpu_training",
    "under_the_hood",
)


def listing(names: list[str]) -> str:
    """Returns the part of the page of tutorials that lists notebooks by their names."""
    if not names:
        return "This checkout has no notebook.\n"
    names = sorted(names, key=lambda name: (*ORDER, name).index(name))
    lines = [
        "```{toctree}",
        ":maxdepth: 1",
        "",
        *(f"notebooks/{name}" for name in names),
    ]
    return "\n".join([*lines, "```", ""])


def copy_notebooks(app):
    """Makes the folder of copies one of the notebooks, and of their list."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    sources = {path.name: path for path in NOTEBOOKS.glob("*.ipynb")}
    for path in FOLDER.glob("*.ipynb"):
        if path.name not in sources:
            path.unlink()
    for name, source in sources.items():
        write_changed(FOLDER / name, moved_links(source.read_text(encoding="utf-8")))
    text = listing(sorted(path.stem for path in sources.values()))
    write_changed(FOLDER / "list.txt", text)


def moved_links(notebook: str) -> str:
    """Returns a notebook whose links to pages fit the folder of copies."""
    return notebook.replace("](../docs/", "](../../")


def write_changed(path: Path, text: str):
    """Writes a file unless it has this text, so that Sphinx reads it once."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    """Copies when the builder starts, before files are read."""
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True}
