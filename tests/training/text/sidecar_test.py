"""Sidecars in shards: appended, resumed after kills, mapped, and refused when stale."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from samjax.training.text import sidecar
from samjax.training.text.sidecar import ShardVectors, open_vectors

SHAPE = (2, 5)


def key(number):
    return f"{number:032x}"


def vectors(number):
    return np.random.default_rng(number).standard_normal(SHAPE).astype(np.float16)


def filled(folder, numbers, shard="a", stamp="s"):
    store = ShardVectors(folder, stamp, SHAPE)
    for number in numbers:
        store.add(shard, key(number), vectors(number))
    store.save()
    return store


def check(folder, numbers, shard="a", absent=()):
    store = ShardVectors(folder, "s", SHAPE)
    for number in numbers:
        np.testing.assert_array_equal(store.find(shard, key(number)), vectors(number))
    for number in absent:
        assert store.find(shard, key(number)) is None


def test_what_was_saved_is_found_by_shard_and_name(tmp_path):
    folder = tmp_path / "made" / "vectors"
    store = filled(folder, range(5))
    store.add("b", key(7), vectors(7))
    # Before it is saved, too.
    np.testing.assert_array_equal(store.find("b", key(7)), vectors(7))
    store.save()
    check(folder, range(5), absent=[7])
    check(folder, [7], "b", absent=[0])
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.keys",
        "a.vectors",
        "b.keys",
        "b.vectors",
    ]
    filled(folder, range(5, 9))
    check(folder, range(9))


@pytest.mark.parametrize("name", ["a.keys", "a.vectors"])
def test_a_kill_at_any_byte_leaves_whole_rows_that_a_later_run_goes_on_from(
    tmp_path, name
):
    filled(tmp_path / "whole", range(3))
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    size = len(whole[name])
    for cut in {0, 1, 300, 511, 512, 513, size - 21, size - 20, size - 1} & set(
        range(size)
    ):
        folder = tmp_path / f"{name}-{cut}"
        folder.mkdir()
        for other, data in whole.items():
            (folder / other).write_bytes(data[:cut] if other == name else data)
        store = ShardVectors(folder, "s", SHAPE)
        left = [n for n in range(3) if store.find("a", key(n)) is not None]
        assert left == list(range(len(left))) and len(left) < 3
        filled(folder, [n for n in range(5) if n not in left])
        check(folder, range(5))
        assert (folder / "a.vectors").stat().st_size == 5 * 2 * 10


def test_a_damaged_row_is_not_found_and_is_written_again(tmp_path):
    filled(tmp_path, range(3))
    data = bytearray((tmp_path / "a.vectors").read_bytes())
    data[25] ^= 1
    (tmp_path / "a.vectors").write_bytes(data)
    check(tmp_path, [0, 2], absent=[1])
    filled(tmp_path, [1])
    check(tmp_path, range(3))


def test_stale_and_foreign_folders_are_refused_and_kept(tmp_path):
    filled(tmp_path / "old", range(2), stamp="old")
    before = (tmp_path / "old" / "a.keys").read_bytes()
    for change in (("s", SHAPE), ("old", (3, 5))):
        with pytest.raises(ValueError, match="of another CLIP, of other crops"):
            open_vectors(str(tmp_path / "old"), *change)
    for number, content in enumerate((b"mine", b"mine" * 200, b"{}".ljust(600))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "b.keys").write_bytes(content)
        with pytest.raises(ValueError, match="no sidecar of vectors: name another"):
            filled(folder, [1], shard="b")
        assert (folder / "b.keys").read_bytes() == content
    assert (tmp_path / "old" / "a.keys").read_bytes() == before
    # A file of vectors alone, as other programs have them.
    alone = tmp_path / "alone" / "a.vectors"
    alone.parent.mkdir()
    alone.write_bytes(b"hours of work")
    with pytest.raises(ValueError, match=r"no a\.keys beside it"):
        filled(alone.parent, [1])
    assert alone.read_bytes() == b"hours of work"


def test_rows_are_mapped_and_few_shards_are_open(tmp_path, monkeypatch):
    monkeypatch.setattr(sidecar, "OPEN_SHARDS", 2)
    for shard in "abcd":
        filled(tmp_path, range(3), shard=shard)
    store = ShardVectors(tmp_path, "s", SHAPE)
    for shard in "abcdab":
        assert store.find(shard, key(1)) is not None
        assert len(store._open) <= 2
        assert isinstance(store._open[shard].vectors, np.memmap)


def append(folder, start):
    for number in range(start, start + 20):
        filled(folder, [number])


def test_several_append_to_one_shard_beside_each_other(tmp_path):
    # Threads exclude each other as processes do; each has a store of its own.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append, (tmp_path, tmp_path), (0, 50)))
    check(tmp_path, [*range(20), *range(50, 70)], absent=[20])
