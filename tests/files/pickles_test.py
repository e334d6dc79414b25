"""Pickles of plain data come back equal, and nothing else is read."""

import os
import pickle
import pickletools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.files import pickles
from samjax.files.pickles import PickleError, read_plain_pickle

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
PLAIN = st.recursive(
    LEAVES | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(-9, 9), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_comes_back_equal(value, protocol):
    assert read_plain_pickle(pickle.dumps(value, protocol)) == value


def test_texts_of_python_2_are_read():
    # {'sent': 'a cup', 1: [u'é']}, as Python 2 writes it at its three protocols.
    for data in (
        b"(dp0\nS'sent'\np1\nS'a cup'\np2\nsI1\n(lp3\nV\xe9\np4\nas.",
        b"}q\x00(U\x04sentq\x01U\x05a cupq\x02K\x01]q\x03X\x02\x00\x00\x00\xc3\xa9q\x04au.",
        b"\x80\x02}q\x00(U\x04sentU\x05a cupK\x01]X\x02\x00\x00\x00\xc3\xa9au.",
    ):
        assert read_plain_pickle(data) == {"sent": "a cup", 1: ["é"]}


class Calls:
    """Makes a pickle that calls a function when Python reads it."""

    def __reduce__(self):
        return os.mkdir, ("called",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Calls(), {1, 2}, b"bytes", range(3), object()])
def test_what_is_no_plain_data_is_refused_and_nothing_is_called(
    tmp_path, monkeypatch, value, protocol
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PickleError, match=r"instruction \w+, which plain data never"):
        read_plain_pickle(pickle.dumps([value], protocol))
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    for start in (b"", b"\x80\x02", b"]q\x00("):
        try:
            read_plain_pickle(start + data)
        except PickleError:
            continue


def test_a_damaged_pickle_is_refused():
    data = pickle.dumps([{"a": "b"}] * 3, 2)
    for cut in range(len(data)):
        with pytest.raises(PickleError):
            read_plain_pickle(data[:cut])
    for wrong in (b"K\x01K\x02s.", b"]K\x01K\x02s.", b"}]K\x01s.", b"(s.", b"g5\n."):
        with pytest.raises(PickleError, match="readable pickle|belongs"):
            read_plain_pickle(wrong)


def test_keys_of_one_hash_become_texts():
    keys = [i * (2**61 - 1) for i in range(1, 50)]
    assert len({hash(key) for key in keys}) == 1
    read = read_plain_pickle(pickle.dumps(dict.fromkeys(keys, 0)))
    assert set(read) == {str(key) for key in keys}


def test_the_number_of_instructions_is_bounded(monkeypatch):
    monkeypatch.setattr(pickles, "MOST_OPERATIONS", 100)
    with pytest.raises(PickleError, match="more than 100 instructions"):
        read_plain_pickle(b"]" * 200)
    assert len(list(pickletools.genops(pickle.dumps([1] * 90)))) <= 100
