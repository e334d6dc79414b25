"""`samjax engine people|images|statistics`, and `samjax serve --engine`."""

import csv
import re

import numpy as np
import pytest
from cli.serve_test import serve, started, weights  # noqa: F401
from engine.annotations.store_test import add
from PIL import Image

from samjax import cli
from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.people import People, find_person
from samjax.engine.annotations.regions import Regions
from samjax.engine.annotations.team import TeamQueue, TeamRules
from samjax.engine.file_versions import file_version
from samjax.engine.project import DATABASE


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "project"


@pytest.fixture
def engine(folder, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMJAX_CACHE", str(tmp_path / "cache"))

    def run(*words):
        status = cli.main(["engine", *map(str, words)])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def opened(folder):
    return AnnotationStore(folder / DATABASE)


def test_people_are_added_renewed_listed_and_removed(engine, folder):
    at = ("--engine", folder)
    status, out, _ = engine("people", "add", "Ada", "--role", "owner", *at)
    token = re.search(r"token (\S+)", out)[1]
    assert status == 0 and f"/?token={token}" in out
    assert engine("people", "add", "Bob", *at)[0] == 0
    _, out, _ = engine("people", "renew", "Ada", *at)
    new = re.search(r"token (\S+)", out)[1]
    store = opened(folder)
    hashes = People(store.database).hashes()
    store.close()
    assert find_person(token, hashes) is None and find_person(new, hashes) is not None
    _, out, _ = engine("people", "list", *at)
    assert out.splitlines() == ["Ada  owner  person-1", "Bob  annotator  person-2"]
    status, _, err = engine("people", "remove", "Bob", *at)
    assert status == 2 and "--yes" in err
    status, out, _ = engine("people", "remove", "Bob", "--yes", *at)
    assert status == 0 and "person-2" in out and "snapshots" in out
    _, out, _ = engine("people", "list", *at)
    assert out.splitlines()[1] == "person-2  annotator  person-2 (removed)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("people", "add"), "expected a name"),
        (("people", "renew", "Eve"), "team's people"),
        (("people", "add", "Ada", "--role", "boss"), "role"),
        (("people", "fire", "Ada"), "fire"),
        (("images", "remove", "none.png", "--yes"), "expected an image"),
        (("images", "remove", "../project.json", "--yes"), "expected a path"),
        (("images", "remove", "a.png"), "--yes"),
    ],
)
def test_other_words_are_refused_in_one_line(engine, folder, words, said):
    engine("people", "add", "Ada", "--role", "owner", "--engine", folder)
    status, _, err = engine(*words, "--engine", folder)
    assert status in (1, 2) and err.count("\n") == 1 and said in err
    assert (folder / "project.json").exists()


def test_a_folder_that_is_no_project_is_named(engine, tmp_path):
    for words in (("people", "list", "--engine", tmp_path), ("statistics", tmp_path)):
        status, _, err = engine(*words)
        assert status == 2 and "expected the folder of a project" in err
    assert list(tmp_path.iterdir()) == []


def test_a_removed_image_is_nowhere_and_the_others_stay(engine, folder, tmp_path):
    at = ("--engine", folder)
    engine("people", "add", "Ada", "--role", "owner", *at)
    cache = tmp_path / "cache" / "serve"
    kept = []
    for number, name in enumerate(("secret-street.png", "other.png")):
        path = folder / "images" / name
        Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(path)
        status = path.stat()
        key = file_version(path.resolve(), status.st_size, status.st_mtime_ns)
        for place in (f"embeddings/abc/{key}.safetensors", f"pictures/{key}.256.jpg"):
            (cache / place).parent.mkdir(parents=True, exist_ok=True)
            (cache / place).write_text(name)
            kept += [cache / place] * number
    store = opened(folder)
    queue = TeamQueue(store.database, TeamRules())
    queue.add(["secret-street.png", "other.png"])
    for name in ("secret-street.png", "other.png"):
        made = add(store, f"uuid-{name}", name)
        store.change(made["id"], made["revision"], {"label": f"in {name}"})
        Regions(store.database).add(name, f"region-{name}", (0.0, 0.0, 4.0, 4.0), "Ada")
    store.close()
    status, out, _ = engine("images", "remove", "secret-street.png", "--yes", *at)
    assert status == 0
    assert "is deleted, with 1 mask, 1 task and 2 cached files" in out
    store = opened(folder)
    assert [row["image"] for row in store.snapshot()[1]] == ["other.png"]
    assert TeamQueue(store.database, TeamRules()).counts() == {("annotate", "open"): 1}
    store.close()
    assert [p.name for p in (folder / "images").iterdir()] == ["other.png"]
    assert sorted(p for p in cache.rglob("*") if p.is_file()) == sorted(kept)
    for file in folder.iterdir():
        assert not file.is_file() or b"secret-street" not in file.read_bytes()


def test_statistics_are_printed_and_written_with_pseudonyms(engine, folder, tmp_path):
    engine("people", "add", "Ada", "--role", "owner", "--engine", folder)
    store = opened(folder)
    add(store, author="Ada", active_seconds=8.0, seconds=9.0, clicks=2, model="m")
    store.close()
    out_file = tmp_path / "numbers.csv"
    status, out, _ = engine("statistics", folder, "--csv", out_file)
    assert status == 0 and "person-1" in out and "Ada" not in out
    rows = list(csv.DictReader(out_file.read_text().splitlines()))
    assert [(row["by"], row["name"]) for row in rows] == [
        *(("person", "person-1"), ("round", "0"), ("model", "m")),
    ]
    assert {row["active_seconds_mean"] for row in rows} == {"8.0"}
    status, _, err = engine("statistics", folder, "--csv", out_file)
    assert status == 2 and "--overwrite" in err
    words = ("--csv", out_file, "--overwrite", "--names")
    _, out, _ = engine("statistics", folder, *words)
    assert "Ada" in out and "Ada" in out_file.read_text()


def test_a_project_is_served_once_it_has_an_owner(serve, started, engine, folder):  # noqa: F811
    words = ("--api-only", "--engine", folder)
    status, _, err = serve(*words, folder=".")
    assert status == 2 and "people add NAME --role owner" in err
    engine("people", "add", "Ada", "--role", "owner", "--engine", folder)
    (folder / "project.json").write_text('{"labels": ["cup"], "blind": true}')
    status, out, _ = serve(*words, "--host", "0.0.0.0", folder=".")
    assert status == 0 and "sign in at http" in out and "?token=TOKEN" in out
    (services,) = started
    assert services.settings.folder == folder.resolve() / "images"
    assert services.settings.project.blind and services.settings.token is None
    assert services.settings.labels == ("cup",)
    (folder / "project.json").write_text('{"blind": "yes"}')
    status, _, err = serve(*words, folder=".")
    assert status == 1 and "true or false" in err


@pytest.mark.parametrize(
    "words", [("--token", "t"), ("--queue",), ("--state", "x"), ("FOLDER",)]
)
def test_what_a_project_has_of_its_own_is_not_given_beside_it(
    serve,  # noqa: F811
    folder,
    words,
):
    own = words[0] if words[0] != "FOLDER" else ""
    folder_word = "photos" if not own else "."
    status, _, err = serve(
        "--engine", folder, *(words if own else ()), folder=folder_word
    )
    assert status == 2 and "leave it out beside --engine" in err
