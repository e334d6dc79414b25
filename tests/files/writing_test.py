"""A file is whole or what it was before, and the cache is where it should be."""

from pathlib import Path

import pytest

from samjax.files import cache_folder, replacing


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
