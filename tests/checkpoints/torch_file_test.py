"""Files of `torch.save` are read as torch reads them, and hostile ones are refused."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.checkpoints import CheckpointError, torch_file
from samjax.checkpoints.safetensors_file import Planned
from samjax.checkpoints.state_dict import find_state_dict
from samjax.checkpoints.torch_file import read_torch_file as read_groups
from samjax.checkpoints.torch_writer import write_torch_file

TORCH_DTYPES = (
    *("float64", "float32", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)


def read_torch_file(path, *keys):
    """The tensors of the dict under these keys; the first that cannot be read raises."""
    tensors = read_groups(path)[keys]
    for tensor in tensors.values():
        if isinstance(tensor, CheckpointError):
            raise tensor
    return tensors


def assert_reads_as(path, expected, *keys):
    """Compares dtype, shape and every bit with torch's tensors."""
    import torch

    tensors = read_torch_file(path, *keys)
    assert list(tensors) == list(expected)
    for name, tensor in expected.items():
        got = tensors[name].array()
        assert str(got.dtype) == str(tensor.dtype).removeprefix("torch.")
        assert got.shape == tuple(tensor.shape)
        bits = tensor.detach().clone(memory_format=torch.contiguous_format)
        bits = bits.reshape(-1).view(torch.uint8)
        assert np.ascontiguousarray(got).tobytes() == bits.numpy().tobytes()


@pytest.mark.parity
@settings(max_examples=60)
@given(data=st.data())
def test_any_view_of_any_storage_reads_as_in_torch(data, tmp_path_factory):
    import torch

    tensors = {}
    for name in data.draw(st.lists(st.text(min_size=1), max_size=3, unique=True)):
        dtype = getattr(torch, data.draw(st.sampled_from(TORCH_DTYPES)))
        base = (torch.arange(120) * 1.37 % 41).reshape(4, 5, 6).to(dtype)
        view = base.permute(data.draw(st.permutations(range(3))))
        for axis in range(3):
            start, step = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 3))
            view = view[(slice(None),) * axis + (slice(start, None, step),)]
        kind = data.draw(st.sampled_from(["as it is", "shared", "scalar", "parameter"]))
        if kind == "shared":
            tensors[f"{name} base"] = base
        elif kind == "scalar":
            view = base[1, 2, 3]
        elif kind == "parameter" and dtype.is_floating_point:
            view = torch.nn.Parameter(view)
        tensors[name] = view
    if not tensors:
        return
    path = tmp_path_factory.mktemp("file") / "state.pth"
    options = data.draw(
        st.sampled_from(
            [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}]
        )
    )
    torch.save(tensors, path, **options)
    assert_reads_as(path, tensors)


@pytest.mark.parity
@pytest.mark.parametrize("new", [True, False])
def test_state_dicts_are_found_inside_training_checkpoints(tmp_path, new):
    import torch

    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 3,
        "best": torch.tensor(0.5),
        "optimizer": optimizer.state_dict(),
        "nets": [{"state_dict": layer.state_dict()}],
    }
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    keys = "nets", "0", "state_dict"
    assert_reads_as(tmp_path / "a.pth", layer.state_dict(), *keys)
    groups = read_groups(tmp_path / "a.pth")
    assert {"exp_avg", "exp_avg_sq"} <= set(groups["optimizer", "state", "0"])
    assert set(groups[()]) == {"best"}


@pytest.mark.parity
@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, new):
    import torch

    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {witness}",)

    for content in ({"a": torch.ones(2), "b": Evil()}, Evil()):
        path = tmp_path / "evil.pth"
        torch.save(content, path, _use_new_zipfile_serialization=new)
        with pytest.raises(CheckpointError, match=r"system.*nothing was executed"):
            read_torch_file(path)
    assert not witness.exists()


@pytest.mark.parity
def test_a_whole_module_is_refused_with_what_to_do(tmp_path):
    import torch

    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(CheckpointError, match=r"torch\.nn.*model\.state_dict\(\)"):
        read_torch_file(tmp_path / "module.pth")


@pytest.mark.parity
def test_a_lazily_negated_tensor_is_refused(tmp_path):
    import torch

    negated = torch.complex(torch.ones(3), torch.ones(3)).conj().imag
    assert negated.is_neg()
    torch.save({"a": negated}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="negated"):
        read_torch_file(tmp_path / "a.pth")


@pytest.mark.parity
def test_an_expanded_tensor_cannot_ask_for_memory_the_file_does_not_have(tmp_path):
    import torch

    torch.save({"a": torch.ones(1).expand(10**12)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="contiguous"):
        read_torch_file(tmp_path / "a.pth")


@pytest.mark.parity
def test_a_storage_shared_without_end_is_refused(tmp_path):
    import torch

    base = torch.ones(1000)
    path = tmp_path / "a.pth"
    torch.save({"net": {str(i): base for i in range(100)}}, path)
    with pytest.raises(CheckpointError, match="more than 2 times the file"):
        find_state_dict(path, read_groups(path), r"\d+")
    # The state dict of one model, saved as that of several, is not.
    aliases = {f"net {i}": {"w": base} for i in range(9)} | {"best": {"best": base}}
    torch.save(aliases, path)
    assert list(find_state_dict(path, read_groups(path), "best")) == ["best"]


def test_big_endian_files_read_in_this_machines_order(tmp_path):
    import ml_dtypes

    numbers = np.arange(6).reshape(2, 3)
    for dtype, storage in (
        (np.float32, "FloatStorage"),
        (np.int64, "LongStorage"),
        (ml_dtypes.bfloat16, "BFloat16Storage"),
        (np.uint8, "ByteStorage"),
    ):
        native = numbers.astype(dtype)
        swapped = native.view(f"u{native.itemsize}").byteswap().tobytes()
        path = tmp_path / f"{storage}.pth"
        write_archive(
            path,
            [
                ("data.pkl", pickle_of(storage, 6, (2, 3))),
                ("byteorder", b"big"),
                ("data/0", swapped),
            ],
        )
        got = read_torch_file(path)["a"].array()
        assert got.dtype == dtype and got.tobytes() == native.tobytes()


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    path = written(tmp_path / "whole.pth", np.ones((3, 4), np.float32))
    content = path.read_bytes()
    read_torch_file(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"whole\.pth"):
            read_torch_file(path)


@settings(max_examples=300)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_file_gives_tensors_or_the_one_error(place, flip, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    content = bytearray(written(path, np.ones((3, 4), np.float32)).read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        for tensor in read_torch_file(path).values():
            tensor.array().tobytes()
    except CheckpointError:
        pass


NUMBERS = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("count", [("data.pkl", ("FloatStorage", 13, (12,)))], "48 bytes, expected 52"),
        ("shape", [("data.pkl", ("FloatStorage", 12, (13,)))], "larger than its"),
        ("stride", [("data.pkl", ("FloatStorage", 12, (6,), 0, (3,)))], "leaves its"),
        ("offset", [("data.pkl", ("FloatStorage", 12, (6,), 7))], "leaves its"),
        ("huge", [("data.pkl", ("FloatStorage", 12, (2**40,) * 3))], "larger than its"),
        ("key", [("data.pkl", ("FloatStorage", 12, (12,), 0, None, "9"))], "no data/9"),
        ("order", [("byteorder", b"middle")], "expected little or big"),
        ("none", [], "no data.pkl"),
        ("large", [("data.pkl", b"N" * (torch_file.MAX_PICKLE + 1))], "too large"),
        ("up", [("../data/1", b"")], "lies outside"),
    ],
)
def test_archives_that_claim_more_than_they_have_are_refused(
    tmp_path, name, members, message
):
    named = dict(members)
    if name != "none":
        named.setdefault("data.pkl", ("FloatStorage", 12, (12,)))
    content = [
        (key, value if isinstance(value, bytes) else pickle_of(*value))
        for key, value in named.items()
    ]
    path = tmp_path / "a.pth"
    write_archive(path, [*content, ("data/0", NUMBERS.tobytes())])
    with pytest.raises(CheckpointError, match=message):
        read_torch_file(path)


def test_compressed_archives_are_refused(tmp_path):
    bomb = [
        ("data.pkl", pickle_of("FloatStorage", 2**20, (2**20,))),
        ("data/0", bytes(2**22)),
    ]
    write_archive(tmp_path / "a.pth", bomb, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.pth").stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="compressed"):
        read_torch_file(tmp_path / "a.pth")


def test_compressed_code_of_torchscript_is_passed_over_and_compressed_data_is_not(
    tmp_path,
):
    members = [
        ("data.pkl", pickle_of("FloatStorage", 2, (2,))),
        ("data/0", bytes(8)),
    ]
    path = tmp_path / "a.pt"
    for name, refused in (("a/code/b.py", False), ("a/codes/b.py", True)):
        write_archive(path, members)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, bytes(2**20))
        if refused:
            with pytest.raises(CheckpointError, match="compressed"):
                read_torch_file(path)
        else:
            assert read_torch_file(path)["a"].shape == (2,)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_overlapping_and_repeated_entries_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    members = [
        ("data.pkl", pickle_of("FloatStorage", 12, (12,))),
        ("data/0", NUMBERS.tobytes()),
        ("data/1", NUMBERS.tobytes()),
    ]
    write_archive(path, members)
    content = path.read_bytes()
    # The directory's entry of data/1 is pointed at the local header of data/0.
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"a/data/{i}") for i in range(2))
        directory = archive.start_dir
    old, new = (struct.pack("<I", info.header_offset) for info in (second, first))
    place = content.index(old + b"a/data/1", directory)
    path.write_bytes(content[:place] + new + content[place + 4 :])
    with pytest.raises(CheckpointError, match="contradictory"):
        read_torch_file(path)
    # And with the name made equal too.
    same = content[: place + 4] + b"a/data/0" + content[place + 12 :]
    path.write_bytes(same[:place] + new + same[place + 4 :])
    with pytest.raises(CheckpointError, match="twice"):
        read_torch_file(path)


def test_an_entry_that_reaches_into_the_next_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    write_archive(
        path,
        [
            ("data.pkl", pickle_of("FloatStorage", 12, (12,))),
            ("data/0", NUMBERS.tobytes()),
            ("data/1", NUMBERS.tobytes()),
        ],
    )
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    # Both sizes of data/0 in the directory: 12 bytes before its name's length.
    name = content.index(b"a/data/0", directory)
    sizes = struct.pack("<II", 60, 60)
    path.write_bytes(content[: name - 26] + sizes + content[name - 18 :])
    with pytest.raises(CheckpointError, match="overlap"):
        read_torch_file(path)


def test_files_that_are_something_else_are_refused_with_what_to_do(tmp_path):
    path = tmp_path / "a.pth"
    for content in (b"", b"PK\x03\x04", b"\x89PNG", pickle.dumps({"a": 1}), b"\x80"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"torch\.save|get it again"):
            read_torch_file(path)


def test_a_file_without_a_state_dict_says_what_it_has(tmp_path):
    path = tmp_path / "a.pth"
    for content, message in (({"lr": 1, "net": {}}, "lr, net"), ([1], "list")):
        write_archive(path, [("data.pkl", pickle.dumps(content, 2))])
        with pytest.raises(CheckpointError, match=message):
            read_torch_file(path)


def written(path: Path, array: np.ndarray) -> Path:
    """A whole file with one tensor in it."""
    with open(path, "wb") as file:
        plan = [Planned("a", "F32", array.shape)]
        write_torch_file(file, plan, iter([array]))
    return path


def pickle_of(storage, count, shape, offset=0, strides=None, key="0") -> bytes:
    """A pickle of {"a": tensor}, whatever nonsense the tensor is."""
    strides = strides or tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))

    def program(*values) -> bytes:
        """The instructions that push values, without a pickle's head and end."""
        return b"".join(pickle.dumps(value, 2)[2:-1] for value in values)

    return b"".join(
        [
            b"\x80\x02}",
            program("a"),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            program("storage"),
            f"ctorch\n{storage}\n".encode(),
            program(key, "cpu", count),
            b"tQ",
            program(offset, tuple(shape), tuple(strides), False, {}),
            b"tRs.",
        ]
    )


def write_archive(path: Path, members, compression=zipfile.ZIP_STORED) -> None:
    """A zip archive with the given members in the folder `a`."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(f"a/{name}", content)
