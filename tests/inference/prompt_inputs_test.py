"""Prompts to inputs of the prompt encoder: the order and the numbers of the reference."""

import numpy as np
import pytest

from samjax.geometry.frame import Frame
from samjax.inference.prompt_inputs import sparse_tokens, to_inputs
from samjax.prompts import Prompt

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
    assert len(to_inputs(Prompt(), FRAME, 16).labels) == 0
    assert len(to_inputs(Prompt(points=[]), FRAME, 16).labels) == 0


def test_an_empty_list_of_points_is_a_padding_token_for_the_reference():
    points, labels = sparse_tokens(np.zeros((0, 2)), np.zeros(0, int), None)
    np.testing.assert_array_equal(points, [[0, 0]])
    np.testing.assert_array_equal(labels, [-1])


def test_prompts_are_scaled_without_the_half_pixel():
    """Trap 4c: the encoder adds 0.5 to points and corners; the host must not."""
    frame = Frame.fit((16, 32), 64)
    inputs = to_inputs(Prompt(points=[[3, 5]], box=[0, 1, 2, 3]), frame, 16)
    np.testing.assert_array_equal(inputs.points, [[6, 10], [0, 2], [4, 6]])


def test_binary_masks_become_logits_of_the_padded_frame():
    """Trap 4c: resized by the longest side, then padded."""
    inputs = to_inputs(Prompt(mask=np.ones((32, 64), bool)), FRAME, 16)
    assert inputs.masks is not None
    assert (inputs.masks[:8] > 0).all() and (inputs.masks[8:] < 0).all()


def test_masks_that_fit_neither_are_refused():
    with pytest.raises(ValueError, match=r"logits of shape \(8, 8\).*\(16, 16\)"):
        to_inputs(Prompt(mask=np.full((8, 8), 2.5)), FRAME, 16)
    with pytest.raises(ValueError, match=r"mask of \(64, 32\) for an image of"):
        to_inputs(Prompt(mask=np.ones((64, 32), bool)), FRAME, 16)
