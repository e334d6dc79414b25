"""Pages of the reference, one for each package of samjax, written before every build.

They are made from the package's files, so that none can be missing: a module is public if
no part of its path starts with an underscore.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "samjax"
FOLDER = Path(__file__).parents[1] / "reference" / "modules"


def public_modules() -> dict[str, list[str]]:
    """Returns the modules of each package of samjax, by the package's name."""
    packages: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["samjax", *path.relative_to(PACKAGE).with_suffix("").parts]
        if parts[-1] == "__init__":
            packages.setdefault(".".join(parts[:-1]), [])
        elif not any(part.startswith("_") for part in parts):
            packages.setdefault(".".join(parts[:-1]), []).append(".".join(parts))
    return packages


def exported(package: str) -> list[str]:
    """Returns the names in `__all__` of a package, without its version."""
    path = PACKAGE.parent.joinpath(*package.split("."), "__init__.py")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [name for name in ast.literal_eval(node.value) if name[0] != "_"]
    return []


def homes(package: str) -> dict[str, str]:
    """Returns the modules that a package imports its exported names from."""
    path = PACKAGE.parent.joinpath(*package.split("."), "__init__.py")
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def page_of(package: str, modules: list[str], children: list[str]) -> str:
    """Returns the text of a package's page."""
    lines = [package, "=" * len(package), "", f".. automodule:: {package}", ""]
    if not exported(package):
        lines.insert(-1, "   :members:")
    found = homes(package)
    names = [found[name] for name in exported(package) if name in found]
    if names:
        lines += [f"From ``{package}`` these are imported:", ""]
        lines += [f"- {reference(name)}" for name in names] + [""]
    if children:
        lines += (
            [".. toctree::", "   :maxdepth: 1", ""]
            + [f"   {child}" for child in children]
            + [""]
        )
    for module in modules:
        title = module.removeprefix(f"{package}.")
        lines += [title, "-" * len(title), "", f".. automodule:: {module}"]
        lines += ["   :members:", ""]
    return "\n".join(lines)


def reference(name: str) -> str:
    """Returns a link to a class or function, and the mere name of anything else."""
    module, _, last = name.rpartition(".")
    path = PACKAGE.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    described = (ast.ClassDef, ast.FunctionDef)
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, described) and node.name == last:
            return f":py:obj:`~{name}`"
    return f"``{last}`` of ``{module}``"


def write_pages(app):
    """Writes the pages that changed, and deletes those of packages that are gone."""
    packages = public_modules()
    del packages["samjax"]
    FOLDER.mkdir(exist_ok=True)
    for package, modules in packages.items():
        children = [name for name in packages if name.rpartition(".")[0] == package]
        text = page_of(package, modules, children)
        path = FOLDER / f"{package}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in FOLDER.glob("*.rst"):
        if path.stem not in packages:
            path.unlink()


def setup(app):
    """Writes the pages when the builder starts, before files are read."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
