"""Run lengths worked on as such equal what is done to pixels."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import counts_to_mask, mask_to_counts
from samjax.geometry.run_lengths import (
    box_of_runs,
    counts_in_larger,
    counts_of_packed,
    where_more,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 6)
densities = st.sampled_from([0.0, 0.1, 0.3, 0.8, 1.0])


def draw_mask(seed: int, height: int, width: int, density: float) -> np.ndarray:
    """A mask of noise."""
    return np.random.default_rng(seed).random((height, width)) < density


@given(seeds, sides, sides, densities, st.data())
def test_runs_in_a_larger_image_are_those_of_the_padded_mask(
    seed, height, width, density, data
):
    before = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    after = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    mask = draw_mask(seed, height, width, density)
    padded = np.pad(mask, list(zip(before, after, strict=True)))
    counts = counts_in_larger(mask_to_counts(mask), mask.shape, before, padded.shape)
    assert counts.tolist() == mask_to_counts(padded).tolist()


@given(seeds, st.integers(1, 20), sides, densities, st.data())
def test_runs_of_bits_are_those_of_the_pixels_in_a_larger_image(
    seed, height, width, density, data
):
    before = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    after = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    mask = draw_mask(seed, height, width, density)
    padded = np.pad(mask, list(zip(before, after, strict=True)))
    counts = counts_of_packed(np.packbits(mask, axis=0), before, padded.shape)
    assert counts.tolist() == mask_to_counts(padded).tolist()


@given(seeds, sides, sides, st.lists(densities, min_size=1, max_size=4), st.data())
def test_pixels_of_more_masks_than_others_are_counted(seed, height, width, drawn, data):
    masks = [draw_mask(seed + i, height, width, d) for i, d in enumerate(drawn)]
    first_other = data.draw(st.integers(1, len(masks)))
    ours, others = masks[:first_other], masks[first_other:]
    level = sum(mask.astype(int) for mask in ours)
    level = level - sum((mask.astype(int) for mask in others), np.zeros_like(level))
    counts = where_more(
        [mask_to_counts(mask) for mask in ours],
        [mask_to_counts(mask) for mask in others],
    )
    assert np.array_equal(counts_to_mask(counts, (height, width)), level > 0)


@given(seeds, sides, sides, densities)
@example(0, 3, 4, 0.0)
def test_the_box_of_runs_is_that_of_the_pixels(seed, height, width, density):
    mask = draw_mask(seed, height, width, density)
    [expected] = boxes_from_masks(mask[None]).tolist()
    assert list(box_of_runs(mask_to_counts(mask), height)) == expected


def test_the_box_of_runs_leaves_out_runs_of_no_length():
    """Other writers leave them: 2 zeros, 0 ones, 1 zero, 1 one, 2 zeros."""
    assert box_of_runs(np.array([2, 0, 1, 1, 2]), 2) == (1, 1, 1, 1)
    assert box_of_runs(np.array([2, 0, 4]), 2) == (0, 0, 0, 0)
