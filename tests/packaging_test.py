"""The parts of a release agree: version, licences, versions tried, workflows, container."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import samjax

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
PAGE = ROOT / "samjax/web/page"


def test_the_version_has_one_place():
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    attribute = PYPROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert attribute == "samjax.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", samjax.__version__)


def test_the_citation_is_of_this_version_and_of_the_paper():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    needed = {"cff-version", "message", "title", "authors", "version", "license"}
    assert needed <= citation.keys()
    assert citation["version"] == samjax.__version__
    assert citation["license"] == PROJECT["license"]
    [paper] = citation["references"]
    assert paper["title"] == "Segment Anything" and len(paper["authors"]) == 12
    assert paper["url"] == PROJECT["urls"]["Paper"]


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "samjax/py.typed").read_text() == ""
    assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"]["samjax"]
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_licences_of_all_that_is_packaged_are_packaged():
    for pattern in PROJECT["license-files"]:
        assert any(path.stat().st_size for path in ROOT.glob(pattern)), pattern
    notice = (ROOT / "samjax/assets/NOTICE.md").read_text()
    for path in (ROOT / "samjax/assets").iterdir():
        assert path.name == "NOTICE.md" or f"`{path.name}`" in notice


def test_the_licences_of_the_page_s_runtime_are_of_its_version():
    [(name, version)] = json.loads((ROOT / "package.json").read_text())[
        "dependencies"
    ].items()
    said = (PAGE / "licences/README.md").read_text()
    assert name in said and said.count(version) == 2
    for link in re.findall(r"\]\((\S+\.txt)\)", said):
        assert (PAGE / "licences" / link).is_file()
    for file in (PAGE / "vendor").glob("*.min.mjs"):
        assert f"ONNX Runtime Web v{version}" in file.read_text()[:200]


def test_supported_pythons_are_the_same_everywhere():
    numbers = [
        found[1]
        for name in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", name))
    ]
    assert PROJECT["requires-python"] == f">={numbers[0]}"
    filtered = re.search(r"filter \$\(VERSION\),([\d. ]+)\)", MAKEFILE)
    assert filtered is not None and filtered[1].split() == numbers
    release = (ROOT / ".github/workflows/release.yml").read_text()
    assert re.findall(r"^ +(3\.\d+)$", release, re.MULTILINE) == numbers


def test_the_lowest_versions_are_those_that_the_package_admits():
    tried = dict(
        line.split("==")
        for line in (ROOT / "constraints/lowest.txt").read_text().splitlines()
        if "==" in line
    )
    for requirement in PROJECT["dependencies"]:
        found = re.match(r"(\w+)>=([\d.]+)", requirement)
        assert found is not None, requirement
        name, floor = found.groups()
        # 0.5 is 0.5.0.
        assert re.fullmatch(re.escape(floor) + r"(\.0)*", tried[name]), requirement


def workflows() -> list[Path]:
    """The workflows of GitHub."""
    return sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", workflows(), ids=lambda path: path.name)
def test_workflows_run_what_exists(path):
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(path.read_text())
    targets = set(
        re.findall(r"[\w-]+", re.findall(r"\.PHONY:(.*?)\n\n", MAKEFILE, re.DOTALL)[0])
    )
    for name, job in workflow["jobs"].items():
        rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
        for step in job["steps"]:
            assert step.keys() & {"run", "uses"}, name
            for row in rows:
                line = step.get("run", "")
                for key, value in row.items():
                    line = line.replace(f"${{{{ matrix.{key} }}}}", value)
                words = shlex.split(line)
                if words[:1] == ["make"]:
                    assert words[1] in targets, line
                elif words and "python" in words[0]:
                    assert (ROOT / words[1]).is_file(), line


def test_only_the_job_that_publishes_may_and_it_runs_nothing_of_the_repository():
    yaml = pytest.importorskip("yaml")
    text = (ROOT / ".github/workflows/release.yml").read_text()
    workflow = yaml.safe_load(text)
    # `on` is a boolean of YAML 1.1.
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    assert workflow["permissions"] == {"contents": "read"}
    jobs = workflow["jobs"]
    trusted = [name for name in jobs if "id-token" in jobs[name].get("permissions", {})]
    assert trusted == ["publish"]
    assert jobs["publish"]["environment"] and jobs["publish"]["needs"] == "build"
    uses = [step.get("uses", "").partition("@")[0] for step in jobs["publish"]["steps"]]
    assert uses == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert "secrets." not in text and "password" not in text.replace("no password", "")
    commands = [step.get("run", "") for step in jobs["build"]["steps"]]
    # The tag is checked before anything is built.
    assert [bool(re.search(r"tag\.py|release-check", line)) for line in commands] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_container_runs_the_server_as_an_ordinary_user():
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    last = {line.split()[0]: line.partition(" ")[2] for line in lines}
    assert last["USER"] not in ("", "root", "0")
    assert last["VOLUME"] == '["/photos", "/cache"]'
    entry = json.loads(last["ENTRYPOINT"])
    assert entry[:3] == ["samjax", "serve", "/photos"]
    assert entry[entry.index("--port") + 1] == last["EXPOSE"]
    check = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert check[-1] == f"http://127.0.0.1:{last['EXPOSE']}"
    assert any(line.endswith(check[1]) for line in lines if line.startswith("COPY"))
    for line in lines:
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line
