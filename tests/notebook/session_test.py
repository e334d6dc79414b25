"""The state of a clicker: what a front end sends is parsed, or refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.inference import Prompt
from samjax.notebook.session import (
    MOST_POINTS,
    ObjectState,
    Session,
    parse_session,
    state_of,
)

EMPTY = {"points": [], "labels": [], "box": None, "choice": None}
CLICK = EMPTY | {"points": [[3.5, 4]], "labels": [1]}

numbers = st.floats(-1e6, 1e6)
points = st.lists(st.tuples(st.tuples(numbers, numbers), st.integers(0, 1)), max_size=4)
boxes = st.none() | st.tuples(numbers, numbers, numbers, numbers).map(
    lambda box: (*map(min, box[:2], box[2:]), *map(max, box[:2], box[2:]))
)
objects = st.builds(
    lambda marks, box, choice: ObjectState(
        tuple(point for point, _ in marks),
        tuple(label for _, label in marks),
        box,
        choice,
    ),
    points,
    boxes,
    st.none() | st.integers(0, 2),
)


@given(st.lists(objects.filter(lambda state: not state.is_empty), max_size=3), objects)
def test_a_state_survives_the_way_to_the_front_end_and_back(accepted, current):
    state = Session(tuple(accepted), current)
    assert parse_session(state.to_json()) == state


@given(objects)
def test_a_prompt_of_a_state_gives_the_state(state):
    assert state_of(state.prompt, state.choice) == state


WRONG = [
    (None, "the state: got null, expected an object with objects, current"),
    ([1], "the state: got list"),
    ({"objects": []}, "current missing"),
    ({"objects": {}, "current": EMPTY}, "objects: got dict, expected a list"),
    ({"objects": [3], "current": EMPTY}, r"objects\[0\]: got int"),
    ({"objects": [EMPTY], "current": EMPTY}, r"objects\[0\]: got neither points"),
    ({"objects": [CLICK], "current": None}, "current: got null"),
]
WRONG_OBJECTS = [
    ({"points": 5}, "current.points: got int, expected a list"),
    ({"points": [[1, 2]]}, "current: .*labels of shape"),
    ({"points": [[1, 2, 3]], "labels": [1]}, "current: .*expected \\(n, 2\\)"),
    ({"points": [["a", "b"]], "labels": [1]}, "not a regular list of numbers"),
    ({"points": [[1, float("nan")]], "labels": [1]}, "NaN or infinite"),
    ({"points": [[1, 2]], "labels": [2]}, "expected 1 .* or 0"),
    ({"points": [[1, 2]], "labels": {}}, "current.labels: got dict"),
    ({"box": [1, 2, 3]}, "a box of shape"),
    ({"box": [9, 2, 3, 4]}, "smaller than its"),
    ({"box": "0123"}, "current: "),
    ({"choice": -1}, "current.choice: got -1, expected the index"),
    ({"choice": 3}, "current.choice: got 3"),
    ({"choice": True}, "current.choice: got True"),
    ({"choice": "best"}, "current.choice: got 'best'"),
    ({"points": [[1, 2]] * (MOST_POINTS + 1)}, "expected at most"),
]
WRONG += [
    ({"objects": [], "current": EMPTY | change}, message)
    for change, message in WRONG_OBJECTS
]


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_what_is_no_state_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        parse_session(value)


def test_prompts_that_the_widget_does_not_hold_are_refused():
    with pytest.raises(ValueError, match="got a prompt with a text"):
        state_of(Prompt(text="a cup"))
