"""Checks that a tag may be released: version, changelog, citation and addresses agree.

    python tools/release/tag.py v0.2.0
    python tools/release/tag.py v0.2.0 --notes > notes.md

Prints one line for each disagreement and exits with 1 if there is any; with `--notes` it
prints the version's part of the changelog otherwise. Needs Python alone.
"""

import argparse
import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Links on the package index's page.
ADDRESSES = ("Source", "Documentation", "Changelog", "Issues")


def package_version(root: Path) -> str:
    """Returns `samjax.__version__` without importing samjax."""
    for node in ast.parse((root / "samjax/__init__.py").read_text()).body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "__version__"
        ):
            return str(ast.literal_eval(node.value))
    raise ValueError('samjax/__init__.py has no line `__version__ = "..."`')


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """Returns what keeps a tag from being released, a line each; empty if nothing does."""
    version = package_version(root)
    lines = []
    if tag != f"v{version}":
        lines.append(
            f"the tag is {tag}, and samjax.__version__ {version}: expected v{version}"
        )
    date = _release_date((root / "CHANGELOG.md").read_text(), version)
    if date is None:
        lines.append(
            f"CHANGELOG.md: expected an empty [Unreleased], then "
            f"`## [{version}] - YEAR-MONTH-DAY`"
        )
    citation = (root / "CITATION.cff").read_text()
    expected = {"version": version, "date-released": date, "repository-code": None}
    for key, value in expected.items():
        got = re.search(rf"^{key}: *['\"]?([^'\"\n]+)", citation, re.MULTILINE)
        if got is None or (value is not None and got[1] != value):
            lines.append(
                f"CITATION.cff: {key} is {got and got[1]}, expected"
                f" {value or 'the one of the release'}"
            )
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    missing = [name for name in ADDRESSES if name not in project.get("urls", {})]
    if missing:
        lines.append(
            f"pyproject.toml: [project.urls] lacks {', '.join(missing)}: add the"
            " addresses of the repository"
        )
    return lines


def notes(root: Path = ROOT) -> str:
    """Returns the changelog's part about the version, without its heading."""
    version = re.escape(package_version(root))
    parts = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    [part] = [part for part in parts if re.match(rf"\[{version}\]", part)]
    return part.partition("\n")[2].strip() + "\n"


def _release_date(changelog: str, version: str) -> str | None:
    """Returns the date of a version that the changelog has as its newest release."""
    unreleased, *releases = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    if (
        not unreleased.startswith("[Unreleased]")
        or "\n- " in unreleased
        or not releases
    ):
        return None
    heading = re.match(
        rf"\[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)\n", releases[0]
    )
    return heading and heading[1]


def main() -> int:
    """Prints the problems of the tag on the command line, or the notes of its release."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tag")
    parser.add_argument(
        "--notes", action="store_true", help="print the changelog's part"
    )
    options = parser.parse_args()
    lines = problems(options.tag)
    for line in lines:
        print(line, file=sys.stderr)
    if options.notes and not lines:
        print(notes(), end="")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
