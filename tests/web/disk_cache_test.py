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
