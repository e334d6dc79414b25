"""Ragged prompts into few shapes: nothing lost, nothing twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samjax.inference.batching import (
    MAX_PROMPT_SETS,
    TOKEN_BUCKETS,
    pack,
    plan_calls,
)
from samjax.models.prompt_encoder import ABSENT, PromptInputs


def ragged(shapes: list[list[tuple[int, bool]]]) -> list[list[PromptInputs]]:
    """Prompts with these (tokens, has a mask), numbered in their x coordinate."""
    prompts, number = [], 0
    for of_image in shapes:
        prompts.append([])
        for tokens, has_mask in of_image:
            number += 1
            points = np.full((tokens, 2), number, np.float32)
            mask = np.full((4, 4), number, np.float32) if has_mask else None
            labels = np.ones(tokens, np.int32)
            prompts[-1].append(PromptInputs(points, labels, mask))
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
        packed = pack(call, prompts)
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
                assert (packed.masks is None) == (prompt.masks is None)
                if packed.masks is not None:
                    np.testing.assert_array_equal(
                        packed.masks[row, column], prompt.masks
                    )
    assert len(seen) == sum(len(of_image) for of_image in prompts)


def test_one_to_nine_points_need_two_buckets():
    prompts = ragged([[(points + 1, False)] for points in range(1, 10)])
    assert len({call.shape[2] for call in plan_calls(prompts)}) == 2
