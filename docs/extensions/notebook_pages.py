"""Copies the notebooks beside the pages, where Sphinx finds them."""

import shutil
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FOLDER = Path(__file__).parents[1] / "tutorials" / "notebooks"


def copy_notebooks(app):
    """Makes the folder of copies equal to that of the notebooks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    sources = {path.name: path for path in NOTEBOOKS.glob("*.ipynb")}
    for path in FOLDER.glob("*.ipynb"):
        if path.name not in sources:
            path.unlink()
    for name, source in sources.items():
        copy = FOLDER / name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)


def setup(app):
    """Copies when the builder starts, before files are read."""
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True}
