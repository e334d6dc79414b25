"""A file is whole or what it was before, JSON is JSON, and the cache in its place."""

import json
import math
from pathlib import Path

import pytest

from samjax.files import cache_folder, json_object, json_text, replacing


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "record.json"
    with replacing(path) as hidden:
        hidden.write_text("new")
        assert not path.exists() and hidden.parent == tmp_path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_a_write_that_is_cut_off_leaves_the_old_file_and_no_other(
    tmp_path, interruption
):
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(interruption), replacing(path) as hidden:
        hidden.write_text("half")
        raise interruption
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_body_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass


def test_the_cache_follows_samjax_then_xdg_then_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SAMJAX_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("SAMJAX_CACHE")
    assert cache_folder() == Path("/somewhere/cache/samjax")
    # The specification has relative paths ignored.
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "samjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "samjax"


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (NAN, "the value is nan"),
        ({"score": INFINITY}, "score is inf"),
        ({"masks": [{"iou": 0.5}, {"iou": -INFINITY}]}, r"masks\[1\]\.iou is -inf"),
        ([[1.0, (2, NAN)]], r"\[0\]\[1\]\[1\] is nan"),
    ],
)
def test_numbers_that_json_has_not_are_named_and_not_written(value, said):
    with pytest.raises(ValueError, match=f"^{said}, and JSON"):
        json_text(value)


@pytest.mark.parametrize(
    "value", [None, 0.1, -1e308, "\x1bä\ud800", [], {"a": [1, {"b": None}]}, 10**30]
)
def test_all_other_values_come_back_as_they_were(value):
    text = json_text({"value": value}, indent=1)
    assert json.loads(text, parse_constant=int) == {"value": value}
    assert json_object(text) == {"value": value}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "[" * 10**5, '{"a": NaN}', '{"a": -Infinity}',
     '{"a": ' + "9" * 5000 + "}", b"\xff\xfe{", '{"a": ' + "[" * 10**5],
)  # fmt: skip
def test_what_is_no_json_object_is_a_value_error(text):
    with pytest.raises(ValueError, match="."):
        json_object(text)


def test_a_number_that_is_too_large_for_a_float_is_infinite_as_everywhere():
    assert math.isinf(json_object('{"a": 1e400}')["a"])
