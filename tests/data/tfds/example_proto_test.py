"""`tf.train.Example` without TensorFlow: round trips, and damage."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.tfds.example_proto import list_of, read_example, write_example

FEATURES = st.dictionaries(
    st.text(max_size=9),
    st.one_of(
        st.tuples(st.just("bytes"), st.lists(st.binary(max_size=9))),
        st.tuples(st.just("float"), st.lists(st.floats(width=32, allow_nan=False))),
        st.tuples(st.just("int64"), st.lists(st.integers(-(1 << 63), (1 << 63) - 1))),
    ),
    max_size=5,
)


@given(FEATURES)
def test_all_kinds_of_features_are_restored_including_empty_ones(features):
    read = read_example(write_example(features))
    assert set(read) == set(features)
    for name, (kind, values) in features.items():
        assert list_of(read, name, kind) == values


def test_the_bytes_are_those_of_the_published_format():
    # Written by hand after the wire format of protocol buffers: field 1 of Example is
    # Features, whose field 1 is an entry of name (1) and Feature (2).
    data = write_example({"a": ("int64", [1, 300])})
    packed = b"\x0a\x03" + b"\x01\xac\x02"
    feature = b"\x1a" + bytes([len(packed)]) + packed
    entry = b"\x0a\x01a" + b"\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    assert data == b"\x0a" + bytes([len(features)]) + features


def test_every_process_writes_the_same_bytes():
    code = (
        "from samjax.data.tfds.example_proto import write_example as w; import sys; "
        "f = {f'n{i}': ('int64', [i]) for i in map(int, sys.argv[1:])}; "
        "print(w(f).hex())"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", code, *order],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for order in (
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            ["7", "3", "9", "1", "0", "2", "8", "4", "6", "5"],
        )
    }
    assert len(written) == 1


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_value_error(data):
    try:
        read_example(data)
    except ValueError as error:
        assert "no tf.train.Example" in str(error)


def test_a_truncated_example_is_refused():
    data = write_example({"a": ("bytes", [b"x" * 50])})
    with pytest.raises(ValueError, match="damaged"):
        read_example(data[:-3])


def test_a_feature_that_is_missing_or_of_another_kind_is_named():
    read = read_example(write_example({"a": ("float", [1.0])}))
    with pytest.raises(ValueError, match="no feature 'b'"):
        list_of(read, "b", "float")
    with pytest.raises(ValueError, match=r"float_list.*'a'.*int64_list"):
        list_of(read, "a", "int64")


@pytest.mark.parametrize(
    ("kind", "value"), [("int64", 1 << 63), ("int64", "x"), ("bytes", 1.5)]
)
def test_a_value_of_another_kind_is_refused(kind, value):
    with pytest.raises(ValueError, match="'a' are not"):
        write_example({"a": (kind, [value])})


def test_another_definition_of_the_message_does_not_collide():
    example = pytest.importorskip("tensorflow_datasets.proto.tf_example_pb2")
    features = {"a": ("int64", [3]), "b": ("float", [0.5]), "c": ("bytes", [b"x"])}
    theirs = example.Example.FromString(write_example(features))
    assert list(theirs.features.feature["a"].int64_list.value) == [3]
    np.testing.assert_array_equal(theirs.features.feature["b"].float_list.value, 0.5)
    assert theirs.SerializeToString(deterministic=True) == write_example(features)
