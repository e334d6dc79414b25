"""The unpickler builds tensors and containers, and has no way to do anything else."""

import collections
import io
import os
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.checkpoints import CheckpointError
from samjax.checkpoints.torch_pickle import read_pickle

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner, inner, inner)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.integers(-(2**60), 2**60), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(content: bytes):
    return read_pickle(io.BytesIO(content))


@given(value=plain, protocol=st.integers(2, 5))
def test_plain_containers_come_out_as_they_went_in(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_ordered_dicts_become_dicts_and_their_attributes_are_dropped():
    ordered = collections.OrderedDict(a=1, b=[2, 3])
    ordered._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    assert read(pickle.dumps(ordered, 2)) == {"a": 1, "b": [2, 3]}


SCRIPT = b"\x80\x02c__torch__.clip.model\nCLIP\n)\x81"


def test_modules_of_torchscript_become_dicts_of_their_attributes():
    inner = b"c__torch__.torch.nn.___torch_mangle_1\nLinear\n)\x81}X\x01\x00\x00\x00wK\x07sb"
    program = SCRIPT + b"}(X\x01\x00\x00\x00a" + inner + b"X\x01\x00\x00\x00b\x88ub."
    assert read(program) == {"a": {"w": 7}, "b": True}


@pytest.mark.parametrize(
    "name",
    ["__torch__", "__torch__.", "__torch__.a b", "__torch__x.os", "torch.jit.load"],
)
def test_only_classes_of_torchscript_s_own_code_are_modules(name):
    module, _, attribute = name.rpartition(".")
    program = f"c{module}\n{attribute}\n)\x81.".encode("latin-1")
    with pytest.raises(CheckpointError):
        read(b"\x80\x02" + program)


def test_one_large_dict_for_many_modules_is_refused():
    # Copying it to each of them would take hours.
    items = b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(2**15))
    dict_ = b"}(" + items + b"uq\x00"
    modules = b"".join(SCRIPT[2:] + b"h\x00b0" for _ in range(2**10))
    with pytest.raises(CheckpointError, match="too many attributes"):
        read(b"\x80\x02" + dict_ + modules + b".")


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, exec, __import__, getattr])
def test_a_call_is_refused_by_name_and_not_made(tmp_path, function, protocol):
    witness = tmp_path / "witness"
    shell = f"touch {witness}"
    argument = shell if function is os.system else f"__import__('os').system({shell!r})"
    call = Call(function, argument)
    for value in (call, [call], {"model": {"weight": call}}):
        # Before protocol 2 a dict is made by an instruction that is refused already.
        named = function.__name__ if protocol >= 2 else "asks|instruction"
        with pytest.raises(CheckpointError, match=named):
            read(pickle.dumps(value, protocol))
    assert not witness.exists()


@pytest.mark.parametrize(
    "program",
    {
        "a class by the old instruction": b"(S'echo'\nios\nsystem\n.",
        "an object": b"(cos\nsystem\nS'echo'\no.",
        "an extension": b"\x80\x02\x82\x01.",
        "a new object": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "a name with a dot": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        "a storage called": b"\x80\x02ctorch\nFloatStorage\n)R.",
        "state for a function": b"\x80\x02ctorch.Size\n}b.",
        "state for a token": b"\x80\x02ctorch\nSize\n}b.",
        "a text persistent id": b"\x80\x02Pstorage\n.",
        "a set": b"\x80\x04\x8f.",
        "bytes": b"\x80\x03C\x01a.",
        "too small a stack": b"\x80\x02N\x87.",
        "a missing memo": b"\x80\x02h\x05.",
        "a missing mark": b"\x80\x02Nt.",
        "an odd dict": b"\x80\x02}(Nu.",
        "a list extended by a dict's instruction": b"\x80\x02](NNu.",
        "nothing": b"",
        "no end": b"\x80\x02N",
        "two values": b"\x80\x02NN.",
        "a text longer than the file": b"\x80\x02X\xff\xff\xff\x7fa.",
        "a huge integer": b"\x80\x02\x8b\xff\xff\xff\x7fa.",
    }.items(),
    ids=lambda item: item[0],
)
def test_every_other_program_is_refused(program):
    with pytest.raises(CheckpointError):
        read(program[1])


def test_a_far_memo_slot_takes_no_memory():
    # The C unpickler would make room for two thousand million slots.
    assert read(b"\x80\x02Nr" + struct.pack("<I", 2**31) + b".") is None


def test_containers_that_double_in_themselves_do_not_double_in_time():
    doubling = b"\x80\x02Nq\x00" + b"h\x00h\x00\x86q\x00" * 200
    with pytest.raises(CheckpointError):
        read(doubling + b"Q.")


def test_a_shape_of_many_axes_is_refused():
    shape = b"(" + b"K\x01" * 100 + b"t"
    with pytest.raises(CheckpointError, match="100 axes"):
        read(b"\x80\x02ctorch\nSize\n(" + shape + b"tR.")


@given(cut=st.integers(0, 200), flip=st.integers(0, 255), place=st.integers(0, 200))
def test_damaged_pickles_give_a_value_or_the_one_error(cut, flip, place):
    content = bytearray(pickle.dumps({"a": [1, 2.5, ("x", None)], "b": {"c": 3}}, 2))
    content[place % len(content)] ^= flip
    try:
        read(bytes(content[: len(content) - cut]))
    except CheckpointError:
        pass
