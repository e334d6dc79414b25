"""Joins ES modules into one, since a notebook loads a widget from a single source.

Each imported module becomes a function that is called once and returns its exports, so
that names of different modules cannot collide. The modules stay files that browsers,
tests and type checkers read as they are, and nothing is built or copied for the widget.
Understood are `import { a, b as c } from "./relative.js"` and `export` before a
declaration, which is all that the page's modules use; anything else is refused.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]+)";[ \t]*$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export ((?:async function\*?|function\*?|class|const|let) ([\w$]+))",
    re.MULTILINE,
)
_OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)


def join_modules(entry: Path) -> str:
    """Returns the source of a module with all that it imports.

    Args:
        entry: Path of the module. Its exports, also a default one, stay exports.

    Raises:
        ValueError: A statement is not understood, or modules import each other.
        OSError: A module cannot be read.
    """
    joined: dict[Path, str] = {}
    body = _with_imports(entry.resolve(), joined, ())
    return "\n".join([*joined.values(), body])


def _with_imports(path: Path, joined: dict[Path, str], importers: tuple) -> str:
    """Adds the imports of a module to `joined`, and returns its source without them."""
    if path in importers:
        circle = " > ".join(one.name for one in (*importers, path))
        raise ValueError(f"modules import each other, which cannot be joined: {circle}")
    source = path.read_text(encoding="utf-8")
    for match in _IMPORT.finditer(source):
        _add((path.parent / match[2]).resolve(), joined, (*importers, path))

    def binding(match: re.Match) -> str:
        names = re.sub(r"\s+as\s+", ": ", " ".join(match[1].split()))
        imported = (path.parent / match[2]).resolve()
        return f"const {{ {names} }} = {_name(imported, joined)};"

    source = _IMPORT.sub(binding, source)
    rest = _EXPORT.sub("", source)
    other = _OTHER.search(rest if importers else _DEFAULT.sub("", rest))
    if other:
        raise ValueError(f"{path.name}: cannot join the statement {other[0]!r}")
    return source


def _add(path: Path, joined: dict[Path, str], importers: tuple) -> None:
    if path in joined:
        return
    source = _with_imports(path, joined, importers)
    names = ", ".join(match[2] for match in _EXPORT.finditer(source))
    # The place among `joined` is the module's number, which `_name` reads.
    joined[path] = ""
    joined[path] = (
        f"const {_name(path, joined)} = (() => {{\n"
        f"{_EXPORT.sub(lambda match: match[1], source)}\nreturn {{ {names} }};\n}})();"
    )


def _name(path: Path, joined: dict[Path, str]) -> str:
    return f"$module{list(joined).index(path)}"
