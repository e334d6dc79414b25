import os

import pytest

from samjax.web.disk_cache import DiskCache


def put(cache, key, size, age=0):
    path = cache.put(key, lambda hidden: hidden.write_bytes(bytes(size)))
    os.utime(path, (1000 - age, 1000 - age))
    return path


def test_what_was_not_used_for_longest_goes_when_there_is_no_room(tmp_path):
    cache = DiskCache(tmp_path / "cache", 100)
    put(cache, "a/old", 40, age=3)
    put(cache, "a/used", 40, age=2)
    assert cache.use("a/used") == tmp_path / "cache" / "a" / "used"
    put(cache, "b/new", 40, age=1)
    assert not cache.has("a/old") and cache.has("a/used") and cache.has("b/new")
    assert cache.use("a/old") is None


def test_one_file_that_is_larger_than_all_room_is_kept(tmp_path):
    cache = DiskCache(tmp_path, 10)
    put(cache, "a", 5)
    put(cache, "b", 50)
    assert cache.has("b") and not cache.has("a")


def test_a_file_is_whole_or_not_there(tmp_path):
    cache = DiskCache(tmp_path, 100)

    def fail(hidden):
        hidden.write_bytes(b"half")
        raise OSError("no room")

    with pytest.raises(OSError):
        cache.put("a", fail)
    assert not list(tmp_path.iterdir())
    put(cache, "a", 5)
    with pytest.raises(OSError):
        cache.put("a", fail)
    assert cache.path("a").stat().st_size == 5
    cache.drop("a")
    cache.drop("a")
    assert not cache.has("a")


def test_where_nothing_can_be_kept_only_putting_fails(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("where a folder should be")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "none"):
        cache = DiskCache(folder, 100)
        assert cache.use("a") is None and cache.open("a") is None
        assert not cache.has("a") and cache.drop("a")
    with pytest.raises(OSError):
        put(DiskCache(tmp_path / "file", 100), "a", 5)
    cache = DiskCache(tmp_path / "cache", 100)
    path = put(cache, "a", 5)

    def refuse(*names, **more):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    monkeypatch.setattr("samjax.web.disk_cache.os.utime", refuse)
    assert cache.use("a") == path and not cache.drop("a")
    file = cache.open("a")
    assert file is not None
    with file:
        assert file.read() == bytes(5)


def test_a_file_that_is_open_can_be_read_after_it_went(tmp_path):
    cache = DiskCache(tmp_path, 100)
    put(cache, "a", 5)
    file = cache.open("a")
    assert file is not None
    with file:
        cache.drop("a")
        assert file.read() == bytes(5)
