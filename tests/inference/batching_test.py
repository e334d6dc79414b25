"""Ragged prompts into few shapes: nothing lost, nothing twice, order of the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.geometry.frame import Frame
from samjax.inference.batching import (
    MAX_PROMPT_SETS,
    TOKEN_BUCKETS,
    ModelPrompt,
    pack,
    plan_calls,
    sparse_tokens,
    to_model,
)
from samjax.inference.prompts import Prompt
from samjax.models.prompt_encoder import ABSENT

FRAME = Frame.fit((32, 64), 64)

POINTS = np.array([[1.0, 2.0], [3.0, 4.0]])
BOX = np.array([5.0, 6.0, 7.0, 8.0])


def test_points_alone_are_followed_by_one_padding_token():
    """Trap 4c: one -1 point at (0, 0), after the points, only if there is no box."""
    points, labels = sparse_tokens(POINTS, np.array([1, 0]), None)
    np.testing.assert_array_equal(points, [[1, 2], [3, 4], [0, 0]])
    np.testing.assert_array_equal(labels, [1, 0, -1])
    assert points.dtype == np.float32 and labels.dtype == np.int32


def test_a_box_follows_the_points_and_takes_the_padding_away():
    """Trap 4c: points, then the corners as 2 and 3, and no -1 token."""
    points, labels = sparse_tokens(POINTS, np.array([1, 0]), BOX)
    np.testing.assert_array_equal(points, [[1, 2], [3, 4], [5, 6], [7, 8]])
    np.testing.assert_array_equal(labels, [1, 0, 2, 3])


def test_a_box_alone_is_two_tokens():
    """Trap 4c: no padding token beside a box."""
    points, labels = sparse_tokens(None, None, BOX)
    np.testing.assert_array_equal(points, [[5, 6], [7, 8]])
    np.testing.assert_array_equal(labels, [2, 3])


def test_nothing_is_no_token():
    """Trap 4c: without points and box there is no padding token either."""
    points, labels = sparse_tokens(None, None, None)
    assert points.shape == (0, 2) and labels.shape == (0,)
    assert len(to_model(Prompt(), FRAME, 16).labels) == 0
    assert len(to_model(Prompt(points=[]), FRAME, 16).labels) == 0


def test_an_empty_list_of_points_is_a_padding_token_for_the_reference():
    points, labels = sparse_tokens(np.zeros((0, 2)), np.zeros(0, int), None)
    np.testing.assert_array_equal(points, [[0, 0]])
    np.testing.assert_array_equal(labels, [-1])


def test_prompts_are_scaled_without_the_half_pixel():
    """Trap 4c: the encoder adds 0.5 to points and corners; the host must not."""
    frame = Frame.fit((16, 32), 64)
    prompt = to_model(Prompt(points=[[3, 5]], box=[0, 1, 2, 3]), frame, 16)
    np.testing.assert_array_equal(prompt.points, [[6, 10], [0, 2], [4, 6]])


def test_binary_masks_become_logits_of_the_padded_frame():
    """Trap 4c: resized by the longest side, then padded."""
    prompt = to_model(Prompt(mask=np.ones((32, 64), bool)), FRAME, 16)
    assert prompt.mask is not None
    assert (prompt.mask[:8] > 0).all() and (prompt.mask[8:] < 0).all()


def test_masks_that_fit_neither_are_refused():
    with pytest.raises(ValueError, match=r"logits of shape \(8, 8\).*\(16, 16\)"):
        to_model(Prompt(mask=np.full((8, 8), 2.5)), FRAME, 16)
    with pytest.raises(ValueError, match=r"mask of \(64, 32\) for an image of"):
        to_model(Prompt(mask=np.ones((64, 32), bool)), FRAME, 16)


def ragged(shapes: list[list[tuple[int, bool]]]) -> list[list[ModelPrompt]]:
    """Prompts with these (tokens, has a mask), numbered in their x coordinate."""
    prompts, number = [], 0
    for of_image in shapes:
        prompts.append([])
        for tokens, has_mask in of_image:
            number += 1
            points = np.full((tokens, 2), number, np.float32)
            mask = np.full((4, 4), number, np.float32) if has_mask else None
            labels = np.ones(tokens, np.int32)
            prompts[-1].append(ModelPrompt(points, labels, mask))
    return prompts


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=40), max_size=6
    )
)
def test_every_prompt_is_decoded_once_in_a_bucket_that_holds_it(shapes):
    prompts = ragged(shapes)
    seen = set()
    for call in plan_calls(prompts):
        images, sets, tokens = call.shape
        assert images * sets <= MAX_PROMPT_SETS
        assert images & (images - 1) == 0 and sets & (sets - 1) == 0
        assert tokens in TOKEN_BUCKETS or tokens & (tokens - 1) == 0
        packed = pack(call, prompts, 4)
        points, labels = np.asarray(packed.points), np.asarray(packed.labels)
        assert points.shape == (images, sets, tokens, 2)
        for row, image in enumerate(call.images):
            for column, index in enumerate(call.prompts[row]):
                assert (image, index) not in seen
                seen.add((image, index))
                prompt = prompts[image][index]
                number = len(prompt.labels)
                np.testing.assert_array_equal(
                    points[row, column, :number], prompt.points
                )
                assert (labels[row, column, number:] == ABSENT).all()
                assert (packed.masks is None) == (prompt.mask is None)
                if packed.masks is not None:
                    np.testing.assert_array_equal(
                        packed.masks[row, column], prompt.mask
                    )
    assert len(seen) == sum(len(of_image) for of_image in prompts)


def test_one_to_nine_points_need_two_buckets():
    prompts = ragged([[(points + 1, False)] for points in range(1, 10)])
    assert len({call.shape[2] for call in plan_calls(prompts)}) == 2
