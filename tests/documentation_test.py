"""Pages of the documentation: their code runs, and what they name exists.

A block of Python is run, in the order of its page, or has a comment before it that says
why not: `<!-- not run: REASON -->`. A command line is parsed by the command itself.
"""

import ast
import functools
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import pytest
import tyro

import samjax
from samjax import checkpoints
from samjax.cli import UsageError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = {"_build", "_extra", "modules", "notebooks"}
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted(DOCS.rglob("*.md")) if not MADE & set(path.parts)),
]
EXTENSIONS = DOCS / "extensions"

# Weights that a page names, as those of the package, which need no download; fewer points,
# which give the same kinds of records sooner; the photo of a clone by its name here.
IN_A_TEST = {
    '"samjax/assets/coffee.jpg"': '"photo.jpg"',
    '"vit_b"': '"tiny"',
    '"vit_h"': '"tiny"',
    '"small"': '"tiny"',
    "points_per_side=16": "points_per_side=2",
}
# A page whose code has to set the number of devices before JAX starts.
DEVICES = "concepts/sharding.md"


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        language: Word after the fence, or "".
        text: Its lines, without the indentation of the fence.
        reason: Why it is not run, or "".
        line: Number of its first line.
    """

    language: str
    text: str
    reason: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    lines = page.read_text().splitlines()
    start, reason = None, ""
    for number, line in enumerate(lines):
        fence = re.match(r"( *)```(\S*)", line)
        if fence is None:
            continue
        if start is None:
            start, indent, language = number + 1, len(fence[1]), fence[2]
            before = lines[number - 1] if number else ""
            found = re.fullmatch(r" *<!-- not run: (.+) -->", before)
            reason = found[1] if found else ""
        else:
            text = "\n".join(content[indent:] for content in lines[start:number])
            yield Block(language, text, reason, start + 1)
            start = None


def of_language(page: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(page) if block.language in languages]


def named(pages: list[Path]):
    return pytest.mark.parametrize(
        "page", pages, ids=lambda page: str(page.relative_to(ROOT))
    )


RUN = [
    page
    for page in PAGES
    if page.name != "README.md"
    and any(not block.reason for block in of_language(page, "python"))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files that pages name: a photo, and weights in several forms."""
    folder = tmp_path_factory.mktemp("docs")
    photo = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
    shutil.copy(photo, folder / "photo.jpg")
    weights = folder / "medsam_vit_b.pth"
    checkpoints.convert("tiny", weights)
    for name in ("sam_vit_b_01ec64.pth", "sam_vit_h_4b8939.pth"):
        shutil.copy(weights, folder / name)
    checkpoints.convert("tiny", folder / "sam-vit-base", format="huggingface")
    return folder


@pytest.mark.slow
@named([page for page in RUN if DEVICES not in str(page)])
def test_the_python_of_a_page_runs(page: Path, folder: Path, monkeypatch):
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(folder)
    names: dict = {
        # What a page calls the reader's own.
        "image": np.asarray(Image.open("photo.jpg").convert("RGB")),
        "points": np.array([[300, 150]]),
        "labels": np.array([1]),
    }
    # The page on speed sets the cache of compiled programs, for the whole process.
    cache = jax.config.jax_compilation_cache_dir
    try:
        for block in of_language(page, "python"):
            if block.reason:
                continue
            text = "\n" * (block.line - 1) + block.text
            for written, used in IN_A_TEST.items():
                text = text.replace(written, used)
            exec(compile(text, str(page), "exec"), names)  # noqa: S102
    finally:
        jax.config.update("jax_compilation_cache_dir", cache)


def test_the_python_of_the_page_on_sharding_runs():
    [block] = of_language(DOCS / DEVICES, "python")
    subprocess.run([sys.executable, "-c", block.text], cwd=ROOT, check=True)


@named(PAGES)
def test_python_imports_what_exists(page: Path):
    for block in of_language(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = node.module or ""
            if module.split(".")[0] != "samjax" or module.startswith(
                "samjax.data.tfds"
            ):
                continue
            for alias in node.names:
                assert resolves(f"{module}.{alias.name}"), (
                    f"{page.name}:{block.line} imports {alias.name} of {module}"
                )


@functools.cache
def names_of(module: str) -> frozenset[str] | None:
    """Names that a module of samjax binds, or None if there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        return None
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module of samjax, or a name in one (attributes pass)."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        names = names_of(".".join(parts[:length]))
        if names is not None:
            return length == len(parts) or parts[length] in names
    return False


class Parsed(Exception):
    """A command line fits."""


@pytest.fixture
def only_parsed(monkeypatch):
    """Lets commands end as soon as their command line is parsed."""
    real = tyro.cli

    def parse(*args, **options):
        real(*args, **options)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", parse)
    monkeypatch.chdir(ROOT)


def command_lines(page: Path) -> Iterator[tuple[int, list[str]]]:
    """The command lines of a page's blocks, as (line, words)."""
    for block in of_language(page, "", "bash"):
        text = re.sub(r"\\\n\s*", " ", block.text)
        for line in text.splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            while words and re.match(r"[A-Z_]+=", words[0]):
                del words[0]
            if words:
                yield block.line, words


# A word of a page for what the reader puts there.
PLACEHOLDERS = {
    "CONFIG": "configs/train/sa1b_vit_b.py",
    "vit_b": "tiny",
    "vit_l": "tiny",
    "vit_h": "tiny",
}


@named(PAGES)
def test_command_lines_fit_their_commands(page: Path, only_parsed):
    for line, words in command_lines(page):
        program, *rest = words
        program = Path(program).name
        place = f"{page.relative_to(ROOT)}:{line} {' '.join(words)}"
        if program == "samjax":
            command, *rest = [PLACEHOLDERS.get(word, word) for word in rest]
            if rest in ([], ["--help"]) or "--help" in rest:
                assert importlib.util.find_spec(f"samjax.cli.{command}"), place
                continue
            try:
                importlib.import_module(f"samjax.cli.{command}").run(rest)
            except Parsed:
                continue
            except (UsageError, ValueError, OSError, SystemExit) as error:
                pytest.fail(f"{place}\n{error}")
            pytest.fail(f"{place} is not parsed")
        elif program == "make":
            targets = set(
                re.findall(
                    r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE
                )
            )
            for word in rest:
                assert "=" in word or word in targets, place
        elif program.startswith("python") and rest and rest[0].endswith(".py"):
            check_script(rest, place)
        for extras in re.findall(r"(?:samjax|\.)\[([\w,]+)\]", " ".join(words)):
            assert set(extras.split(",")) <= set(project()["optional-dependencies"]), (
                place
            )


def check_script(words: list[str], place: str):
    """Checks that a script exists, and that its text has the options."""
    path = ROOT / words[0]
    if not path.is_file() and (DOCS / words[0]).is_file():
        path = DOCS / words[0]
    assert path.is_file(), place
    text = path.read_text()
    for word in words[1:]:
        # Options with a dot, and those of a script that passes them on, are a config's.
        if word.startswith("--") and "." not in word and "TrainConfig" not in text:
            option = word.partition("=")[0]
            name = option[2:].replace("-", "_")
            assert option in text or name in text, f"{place}: no {option}"


@functools.cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@functools.cache
def options() -> frozenset[str]:
    """Words after `--` that some command or tool has: fields of its classes, strings."""
    words: set[str] = set()
    for path in [*(ROOT / "samjax").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                words.add(node.target.id.replace("_", "-"))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words |= set(re.findall(r"--([a-z][a-z0-9-]*)", node.value))
    return frozenset(words)


# Options of other programs.
OTHERS = {
    "env",
    "help",
    "ntasks-per-node",
    "return-single-mask",
    "shm-size",
    "user",
    "version",
}


@named(PAGES)
def test_names_in_a_page_exist(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    missing = []
    for code in re.findall(r"`([^`\n]+)`", text):
        for path in re.findall(
            r"(?<![\w./-])((?:samjax|tools|configs|tests|docs|constraints|\.ci)/[\w./*-]+)",
            code,
        ):
            if not list(ROOT.glob(path.rstrip("/."))) and "." in Path(path).name:
                missing.append(path)
        for dotted in re.findall(r"(?<![\w./-])(samjax(?:\.[A-Za-z_]\w*)+)", code):
            if not resolves(dotted) and Path(dotted).suffix not in SUFFIXES:
                missing.append(dotted)
        for option in re.findall(r"(?<![\w-])--([a-z][\w.-]*)", code):
            last = option.rstrip(".").rpartition(".")[2]
            known = options() | OTHERS
            if last not in known and last.removeprefix("no-") not in known:
                missing.append(f"--{option}")
    assert not missing, f"{page.relative_to(ROOT)} names {missing}, which are not there"


SUFFIXES = {".safetensors", ".org"}


def test_the_reference_has_every_public_module(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    from reference_pages import page_of, public_modules

    packages = public_modules()
    top = (DOCS / "reference" / "top_level.md").read_text()
    for module in packages.pop("samjax"):
        assert f"automodule:: {module}\n" in top, module
    index = (DOCS / "reference" / "index.md").read_text()
    for package, modules in packages.items():
        text = page_of(package, modules, [])
        assert all(f"automodule:: {module}\n" in text for module in modules)
        if package.count(".") == 1:
            assert f"\nmodules/{package}\n" in index, package
    sys.modules.pop("reference_pages")


def test_notebooks_are_listed_in_the_order_of_reading(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    from notebook_pages import listing

    assert "no notebook" in listing([])
    names = re.findall("notebooks/(.+)", listing(["another", "migrate", "predictor"]))
    assert names == ["predictor", "migrate", "another"]


def test_links_that_lead_nowhere_are_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    from check_site import broken_links

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="here">A</h1>')
    (tmp_path / "index.html").write_text(
        '<a href="a/#here">1</a><a href="#top">2</a><a href="https://a.org/x">3</a>'
        '<img src="b.png"><a href="a/index.html#there">4</a><a href="../out">5</a>'
    )
    assert broken_links(tmp_path) == [
        "index.html: ../out is no file of the site",
        "index.html: a/index.html#there has no such heading",
        "index.html: b.png is no file of the site",
    ]


def test_the_changelog_has_a_place_for_what_is_not_released():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## [Unreleased]\n" in text
