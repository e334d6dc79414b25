"""Holds the shape of the repository: layers, sizes, names, docs, and what importing costs.

A rule that has to give somewhere gives by an entry in its table, with the reason beside it.
"""

import ast
import dataclasses
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "samjax"

# What each part of samjax may import beside itself. Downward only: a line names
# parts of lower layers, and the order of the lines is the order of the layers.
MAY_IMPORT = {
    "files": set(),
    "terminal": set(),
    "devices": set(),
    "geometry": set(),
    "prompts": set(),
    "text": set(),
    "models": set(),
    "sharding": {"models"},
    "distributed": set(),
    "data": {"geometry", "files"},
    "visualize": {"geometry"},
    "report": {"data"},
    "checkpoints": {"models", "sharding", "files", "terminal", "devices"},
    "inference": {
        "models",
        "prompts",
        "text",
        "geometry",
        "sharding",
        "data",
        "files",
        "devices",
    },
    "compat": {"inference", "checkpoints", "models", "geometry"},
    "training": {
        "models",
        "text",
        "data",
        "geometry",
        "checkpoints",
        "sharding",
        "distributed",
        "files",
        "terminal",
    },
    "evaluation": {  # a suite sees a Segmenter, never params
        "inference",
        "prompts",
        "data",
        "geometry",
        "files",
        "report",
        "visualize",
    },
    "engine": {
        "report",
        "visualize",
        "inference",
        "prompts",
        "evaluation",
        "training",
        "checkpoints",
        "models",
        "data",
        "geometry",
        "files",
        "devices",
    },
    "export": {"models", "geometry", "files"},
    "web": {
        "engine",
        "inference",
        "prompts",
        "export",
        "visualize",
        "data",
        "geometry",
        "files",
    },
    "notebook": {"web", "inference", "export", "data", "geometry", "files"},
}
# The command wires everything together, and the package's face points at everything.
MAY_IMPORT_ALL = {"cli", "__init__", "__main__"}

FILE_LINES = 400
FUNCTION_LINES = 60
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}

# Callers of Python's JSON writer, with the reason.
WRITE_JSON = {
    "samjax/files/json_text.py": "the one place",
    "samjax/checkpoints/store.py": "brings a config to the types of JSON, to compare it",
}

# Folders that running and building make.
BUILT = {"__pycache__", "_build", "_extra"}

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def python_files(*folders: str) -> list[Path]:
    """All Python files of the repository's `folders`, sorted."""
    return sorted(path for name in folders for path in (ROOT / name).rglob("*.py"))


def named(paths: list[Path]):
    """Parametrizes a test by files, each named by its path in the repository."""
    return pytest.mark.parametrize(
        "path", paths, ids=lambda path: str(path.relative_to(ROOT))
    )


def part_of(path: Path) -> str:
    """The part of samjax that a file belongs to: its first folder, or its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of_samjax(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import of a part of samjax, as (line, part), wherever it stands in a file."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the import absolutely"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "samjax":
                yield getattr(node, "lineno", 0), parts[1] if len(parts) > 1 else ""


@named(python_files("samjax"))
def test_imports_go_strictly_downward(path: Path):
    part = part_of(path)
    if part in MAY_IMPORT_ALL:
        return
    assert part in MAY_IMPORT, (
        f"samjax/{part} has no layer yet: give it a line in MAY_IMPORT, as DESIGN.md's "
        "section on layers has it"
    )
    for line, imported in imports_of_samjax(ast.parse(path.read_text())):
        allowed = MAY_IMPORT[part] | {part, "__version__"}
        assert imported in allowed, (
            f"{path.relative_to(ROOT)}:{line} imports samjax.{imported}, but {part} may "
            f"import only {sorted(allowed)}"
        )


def test_the_table_of_layers_has_no_upward_line():
    below: set[str] = set()
    for part, allowed in MAY_IMPORT.items():
        assert allowed <= below, (
            f"{part} may import {allowed - below}, which is not below it"
        )
        below.add(part)


@named(python_files("samjax"))
def test_samjax_imports_nothing_of_the_folders_around_it(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        roots = {module.split(".")[0] for module in modules}
        assert not roots & {"configs", "tests", "tools", "notebooks"}


@named(python_files("samjax", "configs", "tools", "tests"))
def test_files_and_functions_stay_small(path: Path):
    name = str(path.relative_to(ROOT))
    text = path.read_text()
    if name not in LONGER_FILES:
        lines = len(text.splitlines())
        assert lines <= FILE_LINES, (
            f"{name} has {lines} lines, the ceiling is {FILE_LINES}"
        )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if f"{name}:{node.name}" in LONGER_FUNCTIONS:
                continue
            lines = lines_without_docstring(node)
            assert lines <= FUNCTION_LINES, (
                f"{name}:{node.lineno} {node.name} has {lines} lines, the ceiling is "
                f"{FUNCTION_LINES}"
            )


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function that a reader has to follow."""
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_every_exemption_from_the_sizes_is_still_needed():
    for name, reason in LONGER_FILES.items():
        assert reason
        assert len((ROOT / name).read_text().splitlines()) > FILE_LINES
    for name, reason in LONGER_FUNCTIONS.items():
        assert reason
        path, function = name.split(":")
        found = [
            node
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        assert any(lines_without_docstring(node) > FUNCTION_LINES for node in found)


def test_nothing_has_a_name_that_says_nothing():
    for path in python_files("samjax", "configs", "tools", "tests"):
        vague = VAGUE_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)
        assert not vague, f"{path}: name the concept, not {vague}"


@named(python_files("samjax"))
def test_json_is_written_in_one_place_that_refuses_what_is_none(path: Path):
    name = str(path.relative_to(ROOT))
    if name in WRITE_JSON:
        return
    calls = re.findall(r"json\.dumps?\(", path.read_text())
    assert not calls, f"{name} writes JSON itself: use samjax.files.json_text"


@named(python_files("samjax"))
def test_everything_public_has_a_docstring(path: Path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), (
        f"{path.relative_to(ROOT)} does not say what it is for"
    )

    def check(body: list[ast.stmt], owner: str):
        for node in body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                continue
            # Flax calls `setup`; the class says what it sets up.
            if node.name.startswith("_") or node.name == "setup":
                continue
            assert ast.get_docstring(node), (
                f"{path.relative_to(ROOT)}:{node.lineno} {owner}{node.name} has no docstring"
            )
            if isinstance(node, ast.ClassDef):
                check(node.body, f"{node.name}.")

    check(tree.body, "")


def config_module(path: Path):
    """Imports a config's file, which is in no package."""
    spec = importlib.util.spec_from_file_location("config", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@named(python_files("configs"))
def test_every_config_builds(path: Path):
    module = config_module(path)
    assert module.__doc__, (
        "a config says its command, hardware, time and expected score"
    )
    config = module.get_config()
    assert dataclasses.is_dataclass(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, None)


@named(python_files("configs"))
def test_no_config_trains_on_photos_that_are_for_measuring_only(path: Path):
    tree = ast.parse(path.read_text())
    docstring = ast.get_docstring(tree, clean=False)
    names = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    names += strings(config_module(path).get_config())
    for name in names:
        assert name == docstring or "eval" not in re.split(r"[\\/\s]+", name), (
            f"{path.relative_to(ROOT)} names {name!r}: sets in a folder `eval` are for "
            "measuring only"
        )


def strings(value: object) -> list[str]:
    """All strings that a config holds, however deep."""
    if isinstance(value, str | Path):
        return [str(value)]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return [name for part in value for name in strings(part)]
    return []


@named(sorted((ROOT / "tests").rglob("*_test.py")))
def test_tests_that_need_torch_skip_without_it(path: Path):
    text = path.read_text()
    tree = ast.parse(text)
    reference = {"torch", "transformers", "segment_anything", "reference"}
    if reference & imported(ast.walk(tree)):
        assert "mark.parity" in text, (
            "mark the tests that need torch pytest.mark.parity"
        )
    if reference & imported(tree.body):
        assert "importorskip(" in text, (
            'write pytest.importorskip("torch") before the imports that need it'
        )


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The modules that import statements among `nodes` name, and their packages."""
    modules = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {node.module or ""}
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules | {module.split(".")[0] for module in modules}


def test_constraints_hold_exact_versions_and_name_no_host():
    files = {path.stem: path.read_text() for path in (ROOT / "constraints").iterdir()}
    assert files.keys() == {"colab", "lowest", "python3.11", "python3.12", "release"}
    for text in files.values():
        for line in text.splitlines():
            assert re.fullmatch(r"(#.*)?|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
            assert "://" not in line
    assert "jax==0.10.2" in files["python3.11"]
    assert re.search(r"^jax==0\.12\.", files["python3.12"], re.MULTILINE)


def test_no_file_names_a_folder_of_somebodys_machine():
    # Written in two pieces so that this file does not match itself.
    machine = re.compile("/(" + "root|work|Users" + r")/\w|/home/" + r"(?!user\b)\w")
    suffixes = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".json"}
    suffixes |= {".ipynb", ""}
    for path in repository_files():
        if path.suffix in suffixes:
            found = machine.search(path.read_text())
            assert not found, f"{path.relative_to(ROOT)} names {found and found[0]}"


def repository_files() -> Iterator[Path]:
    """The files of the repository, without what building and running leave in it."""
    for path in sorted(ROOT.iterdir()):
        # In a worktree of git, `.git` is a file that says where the rest is.
        if path.is_file() and path.name != ".git":
            yield path
    folders = [
        ".ci",
        ".github",
        "configs",
        "constraints",
        "docs",
        "notebooks",
        "samjax",
        "tests",
        "tools",
    ]
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not BUILT & set(path.parts):
                yield path


def test_the_python_of_the_readme_runs(monkeypatch):
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert blocks
    monkeypatch.chdir(ROOT)
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102
    masks = names["masks"]
    assert masks.masks.dtype == bool and masks.masks.any()
    assert masks.masks.shape[0] == masks.scores.shape[0] == masks.logits.shape[0]
