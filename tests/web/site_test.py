"""A demo is written again, and what the user put beside it stays."""

import hashlib
import json
from pathlib import Path

import pytest

from samjax.files import WouldReplace
from samjax.web.site import CONFIG, files_below, is_demo, put_in_place


def make(folder: Path, contents: dict[str, str], **config) -> Path:
    """Makes a demo of some files, as `write_demo` does."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    content = {"mode": "demo", "files": files_below(folder)} | config
    (folder / CONFIG).write_text(json.dumps(content))
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        name: (folder / name).read_text()
        for name in files_below(folder)
        if name != CONFIG
    }


OWN = {"index.html": "1", "page/a.js": "1", "photos/old.jpg": "1", "_headers": "1"}
NEW = {"index.html": "2", "page/a.js": "2", "photos/new.jpg": "2", "_headers": "2"}
USERS = {".git/HEAD": "ref", "CNAME": "example.org", "photos/mine.jpg": "mine"}


@pytest.fixture
def site(tmp_path) -> Path:
    site = tmp_path / "site"
    put_in_place(make(tmp_path / "first", OWN), site)
    for name, content in USERS.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(content)
    return site


def test_the_demo_is_replaced_and_everything_else_stays(tmp_path, site):
    put_in_place(make(tmp_path / "second", NEW), site)
    assert contents(site) == NEW | USERS
    assert is_demo(site)


@pytest.mark.parametrize("name", sorted(set(NEW) | {"photos/new.jpg"}))
def test_a_file_that_is_the_users_now_stops_it_before_anything_changes(
    tmp_path, site, name
):
    (site / name).write_text("edited")
    before = contents(site)
    with pytest.raises(WouldReplace, match=name):
        put_in_place(make(tmp_path / "second", NEW), site)
    assert contents(site) == before
    put_in_place(make(tmp_path / "third", NEW), site, overwrite=True)
    assert contents(site) == NEW | USERS


def test_an_old_file_that_was_edited_is_not_removed(tmp_path, site):
    (site / "photos/old.jpg").write_text("edited")
    put_in_place(make(tmp_path / "second", NEW), site)
    assert contents(site)["photos/old.jpg"] == "edited"


def test_a_demo_from_before_the_list_is_known_by_its_form(tmp_path):
    site = make(
        tmp_path / "site",
        {"index.html": "1", "page/a.js": "1", "photos/a b.jpg": "1"} | USERS,
        files=None,
        samples=[{"url": "photos/a%20b.jpg", "name": "a b"}],
    )
    new = {"index.html": "2", "page/a.js": "2", "photos/a b.jpg": "2"}
    put_in_place(make(tmp_path / "second", new), site)
    assert contents(site) == new | USERS
    # Headers that somebody changed are not the demo's.
    with pytest.raises(WouldReplace, match="mine"):
        put_in_place(make(tmp_path / "third", {"photos/mine.jpg": "3"}), site)


@pytest.mark.parametrize("where", ["file", "link"])
def test_no_file_leaves_the_folder(tmp_path, site, where):
    (tmp_path / "outside").mkdir()
    made = make(tmp_path / "second", {"model/a.onnx": "2"})
    if where == "file":
        (site / "model").write_text("mine")
    else:
        (site / "model").symlink_to(tmp_path / "outside")
    with pytest.raises(WouldReplace, match="model"):
        put_in_place(made, site)
    assert not list((tmp_path / "outside").iterdir())


def test_the_headers_of_old_demos_are_those_that_were_written():
    from samjax.web import demo, site

    written = hashlib.sha256(demo._HEADERS.encode()).hexdigest()
    assert written == site._OLD_HEADERS
