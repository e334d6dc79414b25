"""Location of examples in the parts of a dataset, and sizes of smaller copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.examples import locate_in_parts, smaller_size
from samjax.geometry.frame import Frame


@pytest.mark.parametrize("size", [(1500, 2250), (2250, 1500), (7, 3000), (48, 72)])
@pytest.mark.parametrize("long_side", [36, 1024])
def test_smaller_copies_have_the_size_that_training_expects(size, long_side):
    expected = size
    if max(size) > long_side:
        expected = Frame.fit(size, long_side).resized_size
    assert smaller_size(size, long_side) == expected


def test_a_smaller_copy_rounds_each_side_and_keeps_a_pixel():
    assert smaller_size((1500, 2250), 1024) == (683, 1024)
    assert smaller_size((7, 30000), 1000) == (1, 1000)
    assert smaller_size((48, 72), 72) == (48, 72)


@given(st.lists(st.integers(0, 4), max_size=6))
def test_every_example_has_its_part_and_place(lengths):
    stops = np.cumsum(lengths, dtype=int)
    expected = [(n, i) for n, length in enumerate(lengths) for i in range(length)]
    assert [locate_in_parts(i, stops) for i in range(len(expected))] == expected
    for index in (-1, len(expected)):
        with pytest.raises(IndexError, match=f"got index {index}"):
            locate_in_parts(index, stops)
