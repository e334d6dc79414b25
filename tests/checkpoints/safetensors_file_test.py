"""Safetensors files go in and out as the library writes and reads them."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.checkpoints import CheckpointError
from samjax.checkpoints.mapped import DTYPE_NAMES, DTYPES
from samjax.checkpoints.safetensors_file import (
    Planned,
    read_safetensors,
    write_safetensors,
)


@st.composite
def states(draw):
    """Named arrays of any dtype and shape."""
    names = draw(st.lists(st.text(min_size=1), max_size=4, unique=True))
    state = {}
    for name in names:
        shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
        dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
        state[name] = (
            (np.arange(np.prod(shape)) * 1.37 % 5).reshape(shape).astype(dtype)
        )
    state.pop("__metadata__", None)
    return state


def write(path, state, metadata):
    plan = [Planned(k, DTYPE_NAMES[a.dtype], a.shape) for k, a in state.items()]
    with open(path, "wb") as file:
        write_safetensors(file, plan, iter(state.values()), metadata)
    return path


@settings(max_examples=50)
@given(state=states(), note=st.text())
def test_the_library_reads_what_samjax_writes(state, note, tmp_path_factory):
    path = write(
        tmp_path_factory.getbasetemp() / "w.safetensors", state, {"note": note}
    )
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata() == {"note": note}
        assert set(file.keys()) == set(state)
        for name, array in state.items():
            got = file.get_tensor(name)
            assert got.shape == array.shape and got.tobytes() == array.tobytes()


@settings(max_examples=50)
@given(state=states(), note=st.text())
def test_samjax_reads_what_the_library_writes(state, note, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "r.safetensors"
    safetensors.numpy.save_file(state, path, {"note": note})
    tensors, metadata = read_safetensors(path)
    assert metadata == {"note": note} and set(tensors) == set(state)
    for name, array in state.items():
        got = tensors[name].array()
        assert got.dtype == array.dtype and got.shape == array.shape
        assert got.tobytes() == array.tobytes()


def test_numbers_start_at_a_multiple_of_64_bytes(tmp_path):
    path = write(tmp_path / "a.safetensors", {"a": np.ones(3)}, {})
    assert read_safetensors(path).tensors["a"].start % 64 == 0


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    path = write(tmp_path / "a.safetensors", {"a": np.ones(3), "b": np.ones(2)}, {})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"a\.safetensors"):
            read_safetensors(path)


def test_numbers_of_a_strange_dtype_are_refused_by_name(tmp_path):
    header = {"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"ab")
    with pytest.raises(CheckpointError, match="x is stored as F8_E4M3"):
        read_safetensors(path)
