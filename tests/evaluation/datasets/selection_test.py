"""The draw of images and objects."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samjax.evaluation.datasets.selection import Selection, spread


@given(st.integers(1, 200), st.integers(1, 300))
def test_images_are_spread_from_the_first_to_the_last(count, most):
    indices = spread(count, most)
    assert len(indices) == min(count, most) == len(set(indices))
    assert indices == sorted(indices) and indices[0] == 0
    assert len(indices) == 1 or indices[-1] == count - 1
    gaps = np.diff(indices)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
    assert spread(count, None) == list(range(count))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
def test_objects_are_drawn_by_the_seed_and_the_image(count, most, key):
    indices = np.arange(count) * 3
    drawn = Selection(objects=most).draw(indices, key)
    assert len(drawn) == min(count, most) and set(drawn) <= set(indices)
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, Selection(objects=most).draw(indices, key))


def test_other_seeds_and_images_draw_other_objects():
    indices = np.arange(50)
    draws = [
        tuple(Selection(objects=5, seed=seed).draw(indices, key))
        for seed, key in ((0, 0), (1, 0), (0, 1))
    ]
    assert len(set(draws)) == 3
