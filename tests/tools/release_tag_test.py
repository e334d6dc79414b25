"""A tag is released only where version, changelog, citation and addresses agree."""

import importlib.util
from pathlib import Path

import pytest

import samjax

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("tag", ROOT / "tools/release/tag.py")
assert SPEC is not None and SPEC.loader is not None
tag = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tag)

FILES = {
    "samjax/__init__.py": '"""A package."""\n\nimport os\n\n__version__ = "0.2.0"\n',
    "CHANGELOG.md": (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-24\n\n### Added\n\n- X.\n"
    ),
    "CITATION.cff": (
        "cff-version: 1.2.0\nversion: 0.2.0\ndate-released: '2026-12-24'\n"
        "repository-code: https://example.org/samjax\n"
    ),
    "pyproject.toml": (
        "[project]\n[project.urls]\n"
        + "".join(f'{name} = "https://example.org"\n' for name in tag.ADDRESSES)
    ),
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "samjax").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_release_that_agrees_has_no_problems(root):
    assert tag.problems("v0.2.0", root) == []


@pytest.mark.parametrize("name", ["0.2.0", "v0.2.1", "v0.2.0rc1", ""])
def test_a_tag_of_another_version_is_a_problem(root, name):
    [problem] = tag.problems(name, root)
    assert "expected v0.2.0" in problem


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("CHANGELOG.md", "[0.2.0] - 2026-12-24", "[0.2.0]", "CHANGELOG.md"),
        ("CHANGELOG.md", "[0.2.0]", "[0.1.0]", "CHANGELOG.md"),
        ("CHANGELOG.md", "released]\n", "released]\n\n- Y.\n", "empty [Unreleased]"),
        ("CHANGELOG.md", "## [Unreleased]\n\n", "", "empty [Unreleased]"),
        ("CITATION.cff", "version: 0.2.0", "version: 0.1.0", "version is 0.1.0"),
        ("CITATION.cff", "2026-12-24", "2026-12-23", "date-released is 2026-12-23"),
        ("CITATION.cff", "repository-code", "url", "repository-code is None"),
        ("pyproject.toml", "Issues", "Other", "lacks Issues"),
        ("pyproject.toml", "[project.urls]", "[project.scripts]", "lacks Source"),
    ],
)
def test_every_disagreement_is_named(root, file, old, new, words):
    path = root / file
    assert old in FILES[file]
    path.write_text(FILES[file].replace(old, new))
    found = tag.problems("v0.2.0", root)
    assert any(words in problem for problem in found), found


def test_the_version_is_read_without_importing_the_package():
    assert tag.package_version(ROOT) == samjax.__version__


def test_the_notes_are_the_version_s_part_of_the_changelog(root):
    assert tag.notes(root) == "### Added\n\n- X.\n"
    with (root / "CHANGELOG.md").open("a") as file:
        file.write("\n## [0.1.0] - 2026-01-01\n\n- First.\n")
    assert tag.notes(root) == "### Added\n\n- X.\n"
