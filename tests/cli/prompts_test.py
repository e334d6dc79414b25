"""Prompts from the options of a command line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samjax.cli import UsageError
from samjax.cli.prompts import PromptOptions, read_prompts

coordinates = st.integers(-100, 10_000)


def fields_of(prompt) -> tuple:
    """The fields of a prompt as plain values."""
    box = None if prompt.box is None else prompt.box.tolist()
    mask = None if prompt.mask is None else prompt.mask.tolist()
    return prompt.points.tolist(), prompt.labels.tolist(), box, mask


def read(group: str, point=(), box=(), mask=()) -> list[tuple]:
    options = PromptOptions(point=tuple(point), box=tuple(box), mask=tuple(mask))
    return [fields_of(given.prompt) for given in read_prompts(options, group)]


@pytest.fixture
def mask_files(tmp_path):
    """Two files with masks of two pixels."""
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, pixels in zip(paths, ([[0, 255]], [[255, 0]])):
        Image.fromarray(np.array(pixels, np.uint8)).save(path)
    return paths


@given(st.lists(st.tuples(coordinates, coordinates, st.sampled_from([0, 1]))))
def test_all_points_together_are_one_prompt_in_their_order(clicks):
    words = [",".join(map(str, click)) for click in clicks]
    expected = [([], [], [0, 0, 1, 1], None)]
    if clicks:
        points = [[x, y] for x, y, _ in clicks]
        expected.insert(0, (points, [label for *_, label in clicks], None, None))
    assert read("kind", point=words, box=["0,0,1,1"]) == expected


def test_a_point_without_a_label_is_on_the_object():
    assert read("kind", point=["1.5,-2"]) == [([[1.5, -2]], [1], None, None)]


def test_each_point_box_and_mask_can_be_a_prompt_of_its_own(mask_files):
    boxes = ["0,0,5,6", "1,1,9,9"]
    assert read("each", ["1,2", "3,4,1"], boxes, mask_files) == [
        ([[1, 2]], [1], None, None),
        ([[3, 4]], [1], None, None),
        ([], [], [0, 0, 5, 6], None),
        ([], [], [1, 1, 9, 9], None),
        ([], [], None, [[False, True]]),
        ([], [], None, [[True, False]]),
    ]


def test_everything_can_be_one_prompt(mask_files):
    assert read("one", ["1,2", "3,4,0"], ["0,0,5,6"], mask_files[:1]) == [
        ([[1, 2], [3, 4]], [1, 0], [0, 0, 5, 6], [[False, True]])
    ]


def test_words_and_records_tell_every_part_of_a_prompt(mask_files):
    options = PromptOptions(
        point=("1,2.5", "3,4,0"), box=("0,0,5,6",), mask=mask_files[:1]
    )
    (one,) = read_prompts(options, "one")
    assert one.words == (
        f"point 1,2.5 + point 3,4 (beside) + box 0,0,5,6 + mask {mask_files[0]}"
    )
    assert one.record == {
        "point_coords": [[1, 2.5], [3, 4]],
        "point_labels": [1, 0],
        "box": [0, 0, 5, 6],
        "mask": "a.png",
        "text": None,
    }


def test_records_have_every_field_whatever_is_given():
    (given_box,) = read_prompts(PromptOptions(box=("0,0,5,6",)), "kind")
    assert given_box.record == {
        "point_coords": [],
        "point_labels": [],
        "box": [0, 0, 5, 6],
        "mask": None,
        "text": None,
    }


@pytest.mark.parametrize(
    ("points", "boxes", "group", "message"),
    [
        ([], [], "kind", "there is no prompt: give --point, --box, --mask or --text"),
        (["1"], [], "kind", "--point 1: expected X,Y"),
        (["1;2"], [], "kind", "--point 1;2: expected X,Y"),
        (["1,2,3,4"], [], "kind", "expected X,Y"),
        (["1,nan"], [], "kind", "expected X,Y"),
        (["1,inf"], [], "kind", "expected X,Y"),
        (["1,2,2"], [], "kind", "1 on the object, 0 beside it"),
        ([], ["1,2,3"], "kind", "--box 1,2,3: expected X0,Y0,X1,Y1"),
        ([], ["5,0,1,9"], "kind", "left of and above"),
        ([], ["0,5,9,5"], "kind", "left of and above"),
        (
            [],
            ["0,0,1,1", "0,0,2,2"],
            "one",
            "takes one box and one mask and one text, got 2",
        ),
        (["1,2", "3,4,0"], [], "each", r"point 3,4 \(beside\) is a background point"),
    ],
)
def test_a_malformed_value_is_named(points, boxes, group, message):
    with pytest.raises(UsageError, match=message):
        read(group, points, boxes)


def test_every_text_is_a_prompt_of_its_own_after_the_others():
    options = PromptOptions(point=("1,2",), text=("a cup", "a spoon"))
    given = read_prompts(options, "kind")
    assert [g.prompt.text for g in given] == [None, "a cup", "a spoon"]
    assert [g.words for g in given] == ["point 1,2", "text 'a cup'", "text 'a spoon'"]
    assert [g.record.get("text") for g in given] == [None, "a cup", "a spoon"]


def test_a_text_joins_points_in_one_prompt():
    (given,) = read_prompts(PromptOptions(point=("1,2",), text=("a cup",)), "one")
    assert given.prompt.text == "a cup" and given.prompt.points.tolist() == [[1, 2]]
    with pytest.raises(UsageError, match="one box and one mask and one text"):
        read_prompts(PromptOptions(point=("1,2",), text=("a", "b")), "one")


def test_an_empty_text_is_refused():
    with pytest.raises(UsageError, match="expected some words"):
        read_prompts(PromptOptions(text=("  ",)), "kind")
