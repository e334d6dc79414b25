"""Weights are found among whatever training loops save, and nothing of it is run."""

import argparse
import collections
import datetime
import decimal
import pathlib
import pickle
import struct
import types
import uuid
import zipfile

import numpy as np
import pytest

from samjax.checkpoints import CheckpointError, convert, load
from samjax.checkpoints.reader import open_checkpoint


def text(value: str) -> bytes:
    """The instructions that push a text."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def push(value, protocol: int = 2) -> bytes:
    """The instructions that push a value, without a pickle's head and end."""
    program = pickle.dumps(value, protocol)
    # From protocol 4 on a frame's length follows the head, if the pickle is long.
    head = 11 if program[2:3] == b"\x95" else 2
    return program[head:-1]


def in_dict(**items: bytes) -> bytes:
    """The instructions that push a dict of values that instructions push."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The bundled model as a `.pth` file, made once."""
    return convert("tiny", tmp_path_factory.mktemp("plain") / "plain.pth")


@pytest.fixture
def repacked(plain, tmp_path):
    """Makes a file of which the object is another around the state dict."""

    def repack(wrap):
        path = tmp_path / "a.pth"
        with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                data = old.read(info)
                if info.filename.endswith("data.pkl"):
                    data = b"\x80\x04" + wrap(data[2:-1]) + b"."
                new.writestr(info.filename, data)
        return path

    return repack


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


BESIDE = {
    "a number of NumPy": push(np.float64(0.5)),
    "one of protocol 4": push(np.float32(0.5), 4),
    "a truth of NumPy": push(np.bool_(True)),
    "an array": push(np.arange(3)),
    "an array of protocol 4": push(np.arange(3), 4),
    "a dtype": push(np.dtype("float32")),
    "the type of a dtype": push(np.float16),
    "a state of random numbers": push(np.random.default_rng(0).bit_generator.state),
    "a generator of random numbers": push(np.random.default_rng(0)),
    "options": push(argparse.Namespace(lr=1e-4, sizes=[1, 2], out=None)),
    "other options": push(types.SimpleNamespace(lr=1e-4), 4),
    "a defaultdict": push(collections.defaultdict(list, a=[1])),
    "a counter": push(collections.Counter("abca")),
    "a deque": push(collections.deque([1, 2], 5)),
    "a set": push({1, 2}, 4),
    "a set of protocol 2": push({1, 2}),
    "a frozen set": push(frozenset("ab"), 4),
    "bytes": push(b"abc", 4),
    "bytes of protocol 2": push(b"abc"),
    "a complex number": push(1 + 2j),
    "a slice": push(slice(1, 2)),
    "a path": push(pathlib.PurePosixPath("runs/a")),
    "a time": push(datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
    "a duration": push(datetime.timedelta(hours=1)),
    "a decimal": push(decimal.Decimal("0.1")),
    "an id": push(uuid.UUID(int=5)),
    "a device": b"ctorch\ndevice\n" + text("cuda") + b"\x85R",
    "a dtype of PyTorch": b"ctorch\nbfloat16\n",
    "a version": b"ctorch.torch_version\nTorchVersion\n" + text("2.1") + b"\x85R",
    "complex numbers": (
        b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
        + b"ctorch\nComplexFloatStorage\n" + text("99") + text("cpu")
        + b"K\x01tQK\x00K\x01\x85K\x01\x85\x89}tR"
    ),
    "configs of omegaconf": b"comegaconf.dictconfig\nDictConfig\n)\x81}b",
    "a dict by attributes": (
        b"ceasydict\nEasyDict\n)\x81(" + text("lr") + b"K\x01u}b"
    ),
    "keys of many kinds": push({0.5: 1, 2**80: 2, -3: 3, None: 4, True: 5}),
    "keys that are dtypes": b"}" + push(np.float16) + b"K\x01s",
    "keys that are tuples": push({(1, 2): 3, ("a", ("b",)): 4}),
    "a dict of Lightning": (
        b"clightning.fabric.utilities.data\nAttributeDict\n)\x81("
        + text("lr") + b"K\x01u"
    ),
    "an ordered dict of Python 2": push(
        Call(collections.OrderedDict, [["lr", 1], ("decay", 2)])
    ),
}  # fmt: skip


@pytest.mark.parametrize("value", BESIDE.items(), ids=lambda item: item[0])
def test_data_beside_the_weights_is_passed_over(plain, repacked, value):
    path = repacked(lambda state: in_dict(before=value[1], net=state, after=value[1]))
    checkpoint = open_checkpoint(path)
    assert len(checkpoint.tensors) == len(checkpoint.entries())
    name = "image_encoder.patch_embed.proj.bias"
    expected = open_checkpoint(plain).tensors[name].array()
    np.testing.assert_array_equal(checkpoint.tensors[name].array(), expected)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (push(Call(print, "run")), "print"),
        (push(Call(eval, "1")), "eval"),
        (push(Call(getattr, "a", "b")), "getattr"),
        (b"cos\nsystem\n" + text("true") + b"\x85R", "os.system"),
        (b"cnumpy\nload\n" + text("a") + b"\x85R", "numpy.load"),
        (b"cnumpy.f2py\ncompile\n)R", "numpy.f2py.compile"),
        (b"ctorch\nload\n)R", "torch.load"),
        (b"ctorch.hub\nload\n)R", "torch.hub.load"),
        (b"ccollections\nnamedtuple\n)R", "collections.namedtuple"),
        (b"cargparse\nFileType\n)R", "argparse.FileType"),
        (b"cpathlib\nPath.unlink\n)R", "pathlib.Path.unlink"),
        (b"c__main__\nConfig\n)\x81}b", "__main__.Config"),
        (b"ctorch.nn.modules.linear\nLinear\n)\x81}b", "torch.nn"),
    ],
)
def test_all_else_beside_the_weights_is_refused_by_name(repacked, value, said, capsys):
    path = repacked(lambda state: in_dict(model=state, extra=value))
    with pytest.raises(CheckpointError, match=rf"{said}.*nothing was executed"):
        open_checkpoint(path)
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrap",
    {
        "alone": lambda state: state,
        "under a word": lambda state: in_dict(net=state),
        "deep": lambda s: in_dict(a=in_dict(b=in_dict(c=in_dict(d=in_dict(e=s))))),
        "in a list": lambda state: in_dict(nets=b"](" + state + b"K\x01e"),
        "in a tuple": lambda state: b"K\x00" + state + b"\x86",
        "in a defaultdict": lambda state: (
            b"ccollections\ndefaultdict\n)R" + text("net") + state + b"s"
        ),
        "in an ordered dict of Python 2": lambda state: (
            b"ccollections\nOrderedDict\n]](" + text("net") + state + b"ea\x85R"
        ),
        "beside an optimizer by names": lambda state: in_dict(
            model=state,
            optimizer=in_dict(state=in_dict(
                **{"image_encoder.blocks.0.attn.qkv.weight": in_dict(step=b"K\x01")}
            )),
        ),
        "beside another under another word": lambda s: in_dict(ema=s, state_dict=s),
    }.items(),
    ids=lambda item: item[0],
)  # fmt: skip
def test_the_state_dict_is_found_wherever_it_is(repacked, wrap):
    model, params = load(repacked(wrap[1]))
    expected = load("tiny")
    assert model.config == expected[0].config
    np.testing.assert_array_equal(
        params["mask_decoder"]["iou_token"]["embedding"],
        expected[1]["mask_decoder"]["iou_token"]["embedding"],
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (push(argparse.Namespace(lr=1)), "argparse.Namespace, and no dict of tensors"),
        (push(np.arange(3)), "_reconstruct, and no dict of tensors"),
        (in_dict(lr=b"K\x01", weights=push(np.arange(3))), "got a dict of lr, weights"),
        (push([1, 2]), "got a list"),
    ],
)
def test_a_file_without_tensors_says_what_it_has(repacked, value, said):
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(repacked(lambda _: value))


@pytest.mark.parametrize(
    "form", ["keys", "negative keys", "floats", "memo", "protocol 0"]
)
def test_keys_of_one_hash_take_no_time(form, seconds):
    """Numbers are hashed modulo 2^61 - 1: one can choose as many as one likes."""
    import io

    from samjax.checkpoints.torch_pickle import read_pickle

    def program(number: int) -> bytes:
        parts = []
        for i in range(1, number + 1):
            value = i * (2**61 - 1) * (-1 if form == "negative keys" else 1)
            size = value.bit_length() // 8 + 1
            whole = value.to_bytes(size, "little", signed=True)
            if form == "floats":
                parts.append(b"G" + struct.pack(">d", (2 * i + 1) * 2.0**200) + b"N")
            elif form == "memo":
                parts.append(b"Np%d\n0" % value)
            elif form == "protocol 0":
                parts.append(b"L%dL\nN" % value)
            else:
                parts.append(b"\x8a" + bytes([len(whole)]) + whole + b"N")
        return b"\x80\x02}(" + b"".join(parts) + b"u."

    def read(number: int) -> None:
        try:
            read_pickle(io.BytesIO(program(number)))
        except CheckpointError as error:
            assert form == "memo" and "index is too large" in str(error)

    # Twice as many would take four times as long, and these would take minutes.
    assert seconds(lambda: read(60_000)) < 20


@pytest.fixture
def seconds():
    """Measures the processor's time, which other work does not lengthen."""
    import time

    def measure(call) -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    return measure


@pytest.mark.parametrize("instruction", [b"N", b"]", b"}", b")", b"K\x01"])
def test_a_pickle_of_small_instructions_is_bounded(instruction, monkeypatch):
    import io

    from samjax.checkpoints import torch_pickle

    # An empty dict takes 64 bytes, and a byte of the pickle.
    assert torch_pickle.MAX_OPERATIONS * 64 <= 2**26
    monkeypatch.setattr(torch_pickle, "MAX_OPERATIONS", 1000)
    with pytest.raises(CheckpointError, match="more than 1000 instructions"):
        torch_pickle.read_pickle(io.BytesIO(b"\x80\x02" + instruction * 1000))
