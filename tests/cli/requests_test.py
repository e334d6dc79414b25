"""Prompts from the options of a command line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.cli import UsageError
from samjax.cli.requests import Request, read_requests

coordinates = st.integers(-100, 10_000)


@given(st.lists(st.tuples(coordinates, coordinates, st.sampled_from([0, 1]))))
def test_all_points_together_are_one_prompt_in_their_order(clicks):
    words = [",".join(map(str, click)) for click in clicks]
    requests = read_requests(words, ["0,0,1,1"], [], "kind")
    expected = [Request(box=(0.0, 0.0, 1.0, 1.0))]
    if clicks:
        points = tuple((float(x), float(y)) for x, y, _ in clicks)
        labels = tuple(label for *_, label in clicks)
        expected.insert(0, Request(points=points, labels=labels))
    assert requests == expected


def test_a_point_without_a_label_is_on_the_object():
    (request,) = read_requests(["1.5,-2"], [], [], "kind")
    assert request == Request(points=((1.5, -2.0),), labels=(1,))


def test_each_point_box_and_mask_can_be_a_prompt_of_its_own():
    masks = [Path("a.png"), Path("b.png")]
    requests = read_requests(["1,2", "3,4,1"], ["0,0,5,6", "1,1,9,9"], masks, "each")
    assert requests == [
        Request(points=((1.0, 2.0),), labels=(1,)),
        Request(points=((3.0, 4.0),), labels=(1,)),
        Request(box=(0.0, 0.0, 5.0, 6.0)),
        Request(box=(1.0, 1.0, 9.0, 9.0)),
        Request(mask=masks[0]),
        Request(mask=masks[1]),
    ]


def test_everything_can_be_one_prompt():
    mask = Path("a.png")
    (request,) = read_requests(["1,2", "3,4,0"], ["0,0,5,6"], [mask], "one")
    assert request == Request(
        points=((1.0, 2.0), (3.0, 4.0)),
        labels=(1, 0),
        box=(0.0, 0.0, 5.0, 6.0),
        mask=mask,
    )


@pytest.mark.parametrize(
    ("points", "boxes", "group", "said"),
    [
        ([], [], "kind", "there is no prompt"),
        (["1"], [], "kind", "--point 1: expected X,Y"),
        (["1;2"], [], "kind", "--point 1;2: expected X,Y"),
        (["1,2,3,4"], [], "kind", "expected X,Y"),
        (["1,nan"], [], "kind", "expected X,Y"),
        (["1,inf"], [], "kind", "expected X,Y"),
        (["1,2,2"], [], "kind", "1 on the object, 0 beside it"),
        ([], ["1,2,3"], "kind", "--box 1,2,3: expected X0,Y0,X1,Y1"),
        ([], ["5,0,1,9"], "kind", "left of and above"),
        ([], ["0,5,9,5"], "kind", "left of and above"),
        ([], ["0,0,1,1", "0,0,2,2"], "one", "one box"),
        (["1,2,0"], [], "each", "is a background point"),
    ],
)
def test_what_is_malformed_is_named(points, boxes, group, said):
    with pytest.raises(UsageError, match=said):
        read_requests(points, boxes, [], group)
