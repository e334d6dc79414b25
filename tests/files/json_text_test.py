"""JSON is JSON."""

import json
import math

import pytest

from samjax.files import json_object, json_text

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
