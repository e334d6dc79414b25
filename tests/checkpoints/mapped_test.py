"""Tensors are places in a mapped file, checked before they are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.checkpoints import CheckpointError
from samjax.checkpoints.mapped import STRIP, MappedFile, StoredTensor, fill

side = st.integers(1, 3 * STRIP)


@given(rows=side, columns=side, dtype=st.sampled_from(["float32", "float16"]))
def test_filling_copies_transposed_matrices_of_any_size(rows, columns, dtype):
    source = (np.arange(rows * columns) % 1000).reshape(columns, rows).astype(dtype).T
    destination = np.zeros((rows, columns), np.float32)
    fill(destination, source)
    assert np.array_equal(destination, source.astype(np.float32))


def test_reading_again_after_release_gives_the_same_numbers(tmp_path):
    numbers = np.arange(100_000, dtype=np.float32)
    (tmp_path / "a").write_bytes(b"head" + numbers.tobytes())
    file = MappedFile(tmp_path / "a")
    span = 4, 4 + numbers.nbytes
    tensor = StoredTensor(file, "F32", (100_000,), (1,), 4, span)
    for _ in range(2):
        # The numbers start at an odd place: a view all the same.
        assert np.array_equal(tensor.array(), numbers)
        tensor.release()


def test_views_cannot_be_written_to(tmp_path):
    (tmp_path / "a").write_bytes(bytes(8))
    tensor = StoredTensor(MappedFile(tmp_path / "a"), "F32", (2,), (1,), 0, (0, 8))
    with pytest.raises(ValueError, match="read-only"):
        tensor.array()[0] = 1


@given(
    shape=st.lists(st.integers(-1, 5), max_size=3).map(tuple),
    strides=st.lists(st.integers(-1, 9), max_size=3).map(tuple),
    start=st.integers(-4, 50),
    first=st.integers(-4, 50),
    stop=st.integers(0, 50),
)
def test_no_tensor_reaches_outside_of_its_storage(
    tmp_path_factory, shape, strides, start, first, stop
):
    path = tmp_path_factory.getbasetemp() / "forty"
    path.write_bytes(bytes(range(40)))
    try:
        tensor = StoredTensor(
            MappedFile(path), "U8", shape, strides, start, (first, stop)
        )
    except CheckpointError:
        return
    # Each byte is its own place in the file.
    assert all(first <= byte < stop for byte in tensor.array().reshape(-1).tolist())


def test_an_unreadable_file_is_the_one_error(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            MappedFile(path)
