"""Small holes and islands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samjax.geometry.regions import fill_small_holes, remove_small_islands

some_masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))

RING = np.array(
    [
        [1, 1, 1, 0, 0, 0],
        [1, 0, 1, 0, 0, 1],
        [1, 1, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ],
    bool,
)


def test_a_hole_below_the_area_is_filled():
    assert fill_small_holes(RING, 2)[1, 1]
    assert fill_small_holes(RING, 1) is RING


def test_an_island_hangs_together_by_corners():
    without = remove_small_islands(RING, 3)
    np.testing.assert_array_equal(without[:, :3], RING[:, :3])
    assert not without[:, 3:].any()
    assert remove_small_islands(RING, 2) is RING


def test_the_largest_of_small_islands_stays_if_asked():
    np.testing.assert_array_equal(
        remove_small_islands(RING, 100), remove_small_islands(RING, 3)
    )
    assert not remove_small_islands(RING, 100, keep_largest=False).any()


@pytest.mark.parity
@given(some_masks, st.integers(0, 9))
def test_regions_equal_the_reference(mask, area):
    import reference

    reference.import_reference()
    from segment_anything.utils.amg import remove_small_regions

    for ours, mode in (
        (fill_small_holes(mask, area), "holes"),
        (remove_small_islands(mask, area), "islands"),
    ):
        theirs, changed = remove_small_regions(mask, area, mode)
        np.testing.assert_array_equal(ours, theirs)
        assert (ours is not mask) == changed
