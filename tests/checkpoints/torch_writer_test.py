"""torch loads files of samjax: with weights_only, memory-mapped, and bit by bit."""

import zipfile

import ml_dtypes
import numpy as np
import pytest

from samjax.checkpoints.mapped import DTYPE_NAMES
from samjax.checkpoints.safetensors_file import Planned
from samjax.checkpoints.torch_file import read_torch_file
from samjax.checkpoints.torch_writer import write_torch_file

DTYPES = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)


@pytest.fixture
def arrays(rng):
    """Arrays of every dtype and of odd shapes and names."""
    shapes = {"a.weight": (3, 5), "ä.b": (7,), "scalar": (), "c": (2, 1, 3, 4)}
    return {
        f"{name} {np.dtype(dtype)}": rng.standard_normal(shape).astype(dtype)
        for name, shape in shapes.items()
        for dtype in DTYPES
    }


def write(path, arrays):
    plan = [Planned(k, DTYPE_NAMES[a.dtype], a.shape) for k, a in arrays.items()]
    with open(path, "wb") as file:
        write_torch_file(file, plan, iter(arrays.values()))
    return path


@pytest.mark.parity
def test_torch_reads_every_bit_with_weights_only_and_mapped(tmp_path, arrays):
    import torch

    path = write(tmp_path / "a.pth", arrays)
    for mapped in (True, False):
        state = torch.load(path, weights_only=True, mmap=mapped)
        assert list(state) == list(arrays)
        for name, array in arrays.items():
            assert tuple(state[name].shape) == array.shape
            got = state[name].reshape(-1).view(torch.uint8).numpy().tobytes()
            assert got == array.tobytes()


def test_samjax_reads_back_what_it_wrote(tmp_path, arrays):
    for name, tensor in read_torch_file(write(tmp_path / "a.pth", arrays))[()].items():
        assert tensor.array().dtype == arrays[name].dtype
        assert tensor.array().tobytes() == arrays[name].tobytes()


def test_numbers_start_at_multiples_of_64_bytes(tmp_path, arrays):
    path = write(tmp_path / "a.pth", arrays)
    for tensor in read_torch_file(path)[()].values():
        assert tensor.start % 64 == 0
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_transposed_views_are_written_in_row_major_order(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    path = write(tmp_path / "a.pth", {"a": array})
    assert read_torch_file(path)[()]["a"].array().tobytes() == array.tobytes("C")


def test_an_array_other_than_announced_is_an_error(tmp_path):
    with open(tmp_path / "a.pth", "wb") as file, pytest.raises(ValueError, match="ann"):
        write_torch_file(file, [Planned("a", "F32", (2,))], iter([np.zeros(3)]))
