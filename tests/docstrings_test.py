"""Docstrings of public names: arguments, shapes, units and errors, held by rules.

A name is public if no part of its path starts with an underscore. The rules read the
source, so that no module is imported:

- Arguments: a section `Args:` names the parameters of the signature, all and no others.
- Errors: what a function raises itself is in its section `Raises:`.
- Shapes: an array in a signature has a jaxtyping annotation, or a shape in the docstring.
- Units: coordinates say whose pixels they are, and times their unit.

Sources are held in `docstring_sources_test.py`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "samjax"
FILES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if not any(
        part.startswith("_") and part != "__init__"
        for part in path.relative_to(PACKAGE).with_suffix("").parts
    )
)

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Errors that say that a caller, not an input, is at fault, and those of control flow.
NOT_LISTED = {"AttributeError", "NotImplementedError", "StopIteration", "SystemExit"}

SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example|Examples):\s*$")
SHAPE = re.compile(
    r'"[\w *+/]+"|' r"\((?:\*?\w+(?: \* \w+)?, ?)+[\w ,.*+/]*\)|\(\w+,\)|\bscalar|shape"
)
COORDINATES = {"points", "point", "box", "boxes", "point_coords"}
PLACE = re.compile(r"pixel|frame|grid|\[0, 1\]|fraction|coordinate", re.IGNORECASE)
TIMES = re.compile(r"(^|_)(timeout|interval|duration|age|delay)s?$")
UNIT = re.compile(r"second|minute|hour|step", re.IGNORECASE)


class Public(NamedTuple):
    """A public function or method, its docstring, and that of its class."""

    path: Path
    name: str
    node: Function
    docstring: str
    of_class: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.node.lineno} {self.name}"


def public_functions(path: Path) -> Iterator[Public]:
    """All public functions and methods of a file."""

    def visit(body: list[ast.stmt], owner: str, of_class: str) -> Iterator[Public]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                docstring = ast.get_docstring(node) or ""
                yield from visit(node.body, f"{owner}{node.name}.", docstring)
            elif isinstance(node, Function) and (
                node.name == "__init__" or not node.name.startswith("_")
            ):
                docstring = ast.get_docstring(node) or ""
                yield Public(path, owner + node.name, node, docstring, of_class)

    yield from visit(ast.parse(path.read_text()).body, "", "")


def sections(docstring: str) -> dict[str, str]:
    """The sections of a Google docstring, by their titles."""
    found: dict[str, str] = {}
    title = ""
    for line in docstring.splitlines():
        if match := SECTION.match(line):
            title = match[1]
            found[title] = ""
        elif title and line and not line.startswith(" "):
            title = ""
        elif title:
            found[title] += line + "\n"
    return found


def entries(section: str) -> list[str]:
    """The names that a section describes, without stars."""
    return [
        name.lstrip("*")
        for names in re.findall(
            r"^    (\*{0,2}\w[\w.,* ]*?)(?: \([^)]*\))?:", section, re.MULTILINE
        )
        for name in names.split(", ")
    ]


def parameters(node: Function) -> list[ast.arg]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [arg for arg in (arguments.vararg, arguments.kwarg) if arg]
    return [
        arg for arg in every if arg.arg not in ("self", "cls") and arg.arg[0] != "_"
    ]


def raised(node: ast.AST, caught: frozenset[str] = frozenset()) -> set[str]:
    """Names of the errors that a function raises itself, and does not catch."""
    names: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*Function.__args__, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(child, ast.Try):
            handled = [ast.unparse(part.type) for part in child.handlers if part.type]
            inside = caught | set(re.findall(r"\w+", " ".join(handled)))
            for statement in child.body:
                names |= raised(ast.Module([statement], []), inside)
            for other in (*child.handlers, *child.orelse, *child.finalbody):
                names |= raised(ast.Module([other], []), caught)  # type: ignore
            continue
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            name = ast.unparse(child.exc.func).rpartition(".")[2]
            if name[0].isupper() and name not in caught:
                names.add(name)
        names |= raised(child, caught)
    return names - NOT_LISTED


def arguments_problem(public: Public) -> str | None:
    described = sections(public.docstring).get("Args")
    if described is None:
        return None
    names = [arg.arg for arg in parameters(public.node)]
    found = entries(described)
    missing, unknown = set(names) - set(found), set(found) - set(names)
    if missing or unknown:
        return f"Args: leaves out {sorted(missing)}, and has {sorted(unknown)} too much"
    return None


def errors_problem(public: Public) -> str | None:
    names = raised(public.node)
    where = public.docstring + (
        public.of_class if public.node.name == "__init__" else ""
    )
    said = sections(public.docstring).get("Raises", "") + (
        sections(public.of_class).get("Raises", "")
        if public.node.name == "__init__"
        else ""
    )
    missing = {name for name in names if name not in said}
    return f"Raises: leaves out {sorted(missing)}" if missing and where else None


def is_bare_array(annotation: ast.expr | None) -> bool:
    """Whether an annotation is an array without a shape."""
    if annotation is None:
        return False
    text = ast.unparse(annotation)
    # Trees and functions of arrays have as many shapes as leaves.
    if re.match(r"(Mapping|dict|Callable)\[", text):
        return False
    text = re.sub(
        r"\w+\[(?:np\.ndarray|jax\.Array|Array|[^\[\]]*Array\w*), ['\"(].*?\]", "", text
    )
    return bool(re.search(r"\bnp\.ndarray\b|\bjax\.Array\b|(?<![\w.])Array\b", text))


def shapes_problem(public: Public) -> str | None:
    bare = [arg.arg for arg in parameters(public.node) if is_bare_array(arg.annotation)]
    if is_bare_array(public.node.returns):
        bare.append("return value")
    if bare and not SHAPE.search(public.docstring):
        return f"no shape of {bare}"
    return None


def units_problem(public: Public) -> str | None:
    text = public.docstring + public.of_class
    names = {arg.arg for arg in parameters(public.node)}
    if names & COORDINATES and not PLACE.search(text):
        return f"does not say in whose pixels {sorted(names & COORDINATES)} are"
    times = [name for name in names if TIMES.search(name)]
    if times and not UNIT.search(text):
        return f"no unit of {times}"
    return None


RULES = {
    "arguments": arguments_problem,
    "errors": errors_problem,
    "shapes": shapes_problem,
    "units": units_problem,
}


@pytest.mark.parametrize("rule", RULES)
def test_docstrings_of_public_names_are_complete(rule):
    found = [
        f"{public.place}: {problem}"
        for path in FILES
        for public in public_functions(path)
        if (problem := RULES[rule](public))
    ]
    assert not found, "\n" + "\n".join(found)


def function(source: str) -> Public:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    return Public(ROOT / "a.py", node.name, node, ast.get_docstring(node) or "", "")


BROKEN = {
    "arguments": 'def f(a, b):\n    """Does.\n\n    Args:\n        a: One.\n    """',
    "errors": 'def f(a):\n    """Does."""\n    if a:\n        raise ValueError("no")',
    "shapes": 'def f(a: np.ndarray):\n    """Does."""',
    "units": 'def f(points):\n    """Draws points."""',
}
MENDED = {
    "arguments": 'def f(a, b):\n    """Does.\n\n    Args:\n        a: One.\n        b: Two.\n    """',
    "errors": 'def f(a):\n    """Does.\n\n    Raises:\n        ValueError: It is.\n    """\n    raise ValueError("no")',
    "shapes": 'def f(a: Float[np.ndarray, "h w"], b: np.ndarray):\n    """Does: b is (h, w)."""',
    "units": 'def f(points):\n    """Draws points, in pixels of the image."""',
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_finds_what_it_is_for(rule):
    assert RULES[rule](function(BROKEN[rule]))
    assert RULES[rule](function(MENDED[rule])) is None
