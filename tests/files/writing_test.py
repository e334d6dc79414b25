"""A file is whole or what it was before, and the cache is where it should be."""

import errno
import os
from pathlib import Path

import pytest

from samjax.files import (
    cache_folder,
    creating,
    replacing,
    set_aside,
    write_bytes,
)


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "record.json"
    with replacing(path) as hidden:
        hidden.write_text("new")
        assert not path.exists() and hidden.parent == tmp_path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_a_write_that_is_cut_off_leaves_the_old_file_and_no_other(
    tmp_path, interruption
):
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(interruption), replacing(path) as hidden:
        hidden.write_text("half")
        raise interruption
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_body_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass


def test_the_cache_follows_samjax_then_xdg_then_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SAMJAX_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("SAMJAX_CACHE")
    assert cache_folder() == Path("/somewhere/cache/samjax")
    # The specification has relative paths ignored.
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "samjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "samjax"


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append("sync"), sync(f)))
    monkeypatch.setattr(os, "replace", lambda *p: (done.append("name"), replace(*p)))
    write_bytes(tmp_path / "a", b"1")
    assert done == ["sync", "name", "sync"]
    with replacing(tmp_path / "b", durable=False) as hidden:
        hidden.write_text("2")
    assert done[3:] == ["name"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_path(tmp_path, number):
    with pytest.raises(OSError) as error, replacing(tmp_path / "a.json"):
        raise OSError(number, "full")
    assert error.value.filename == str(tmp_path / "a.json")
    assert ".tmp" not in str(error.value)
    # What is wrong with another file stays what it is.
    with pytest.raises(OSError) as error, replacing(tmp_path / "a.json"):
        raise OSError(errno.EIO, "damaged", "input.jpg")
    assert error.value.filename == "input.jpg"


def test_a_folder_that_is_gone_is_named_as_the_file(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        write_bytes(tmp_path / "gone" / "a.json", b"1")
    assert error.value.filename == str(tmp_path / "gone" / "a.json")


def test_of_two_who_create_a_file_one_does(tmp_path):
    with creating(tmp_path / "a") as hidden:
        hidden.write_text("first")
    with pytest.raises(FileExistsError), creating(tmp_path / "a") as hidden:
        hidden.write_text("second")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_what_is_damaged_keeps_all_that_is_left_of_it(tmp_path):
    for content in ("one", "two"):
        (tmp_path / "a.json").write_text(content)
        set_aside(tmp_path / "a.json")
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"a.json.damaged": "one", "a.json.damaged2": "two"}
