"""Checkpoints of Flax are read as Flax reads them, and damaged ones are refused."""

import flax.serialization
import jax
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samjax
from samjax.checkpoints import CheckpointError, flax_file
from samjax.checkpoints.flax_file import is_flax, read_flax_file

TREE = {
    "params": {
        "a.0": {"kernel": np.arange(12, dtype=np.float32).reshape(3, 4)},
        "b": {f"n{i}": np.full(i, i, np.float16) for i in range(40)},
        "scalar": np.float32(3),
        "empty": np.zeros((0, 3), np.float64),
        "long" * 20: np.arange(300, dtype=np.int64),
        "ß": np.ones((2, 1, 2), bool),
    },
    "step": 2**40,
    "numbers": [-1, -300, -70_000, -(2**40), 1.5, 200, 40_000, None, True],
    "keys": np.array([1, 2], np.uint32),
}


def written(path, tree):
    path.write_bytes(flax.serialization.msgpack_serialize(tree))
    return path


def test_arrays_are_those_that_flax_restores(tmp_path):
    path = written(tmp_path / "checkpoint_1", TREE)
    assert is_flax(path)
    read = read_flax_file(path)
    restored = flax.serialization.msgpack_restore(path.read_bytes())["params"]
    flat = {
        "/".join(key.key for key in keys): leaf
        for keys, leaf in jax.tree_util.tree_leaves_with_path(restored)
    }
    # A scalar is another extension, which no weights are.
    assert set(read) == set(flat) - {"scalar"}
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor.array(), flat[name])
        assert tensor.array().dtype == flat[name].dtype


def test_every_cut_and_any_damage_is_refused_or_read(tmp_path):
    data = flax.serialization.msgpack_serialize(
        {"params": {"a": np.ones((2, 2), np.float32), "b": [1, "c"]}}
    )
    path = tmp_path / "checkpoint"
    for cut in range(1, len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(CheckpointError):
            read_flax_file(path)
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            for tensor in read_flax_file(path).values():
                tensor.array()
        except CheckpointError:
            continue


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_are_refused_or_read(data):
    path = samjax_file(data)
    try:
        read_flax_file(path)
    except CheckpointError:
        pass
    finally:
        path.unlink()


def samjax_file(data):
    import tempfile
    from pathlib import Path

    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    return Path(file.name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a": msgpack.ExtType(1, b"\x01")}, "a is no array"),
        ({"a": msgpack.ExtType(1, msgpack.packb([[2], "float32"]))}, "is no array"),
        ({"a": msgpack.ExtType(1, msgpack.packb([[9], "float32", b"12"]))}, "larger"),
        ({"a": msgpack.ExtType(1, msgpack.packb([[-1], "float32", b""]))}, "shape"),
        ({"a": {"__msgpack_chunked_array__": True}}, "more than 1 GiB, in chunks"),
        ({"a": {1: 2}}, "a key twice, or one that is no text"),
        ([1, 2], "it is no map of arrays"),
    ],
)
def test_arrays_that_claim_what_they_are_not_are_refused(tmp_path, content, problem):
    (tmp_path / "a").write_bytes(msgpack.packb(content))
    with pytest.raises(CheckpointError, match=problem):
        read_flax_file(tmp_path / "a")


def test_depth_and_number_of_values_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"\x81\xa1a" * 1000 + b"\xc0")
    with pytest.raises(CheckpointError, match="32 maps inside each other"):
        read_flax_file(path)
    monkeypatch.setattr(flax_file, "MAX_VALUES", 100)
    path.write_bytes(msgpack.packb({"a": [0] * 200}))
    with pytest.raises(CheckpointError, match="more than 100 values"):
        read_flax_file(path)


def test_a_checkpoint_of_another_model_is_refused_with_its_names(tmp_path):
    path = written(tmp_path / "checkpoint", TREE)
    with pytest.raises(CheckpointError, match="of the family owl"):
        samjax.load(path)


def test_other_files_are_not_taken_for_one(tmp_path):
    path = tmp_path / "a"
    for data in (b"", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x81", b"\x81\x01\x01"):
        path.write_bytes(data)
        assert not is_flax(path)
