"""Point grids and crop pyramids, as the release has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.geometry.grids import crop_boxes, point_grid, point_grids

SIZES = [(1500, 2250), (1500, 2000), (375, 500), (64, 64), (97, 31)]


def test_points_are_the_centres_of_cells_row_by_row():
    np.testing.assert_allclose(
        point_grid(2), [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    )
    assert point_grid(32).shape == (1024, 2)


def test_layers_have_fewer_points_each():
    assert [len(grid) for grid in point_grids(33, 2, 2)] == [33**2, 16**2, 8**2]
    assert [len(grid) for grid in point_grids(4, 1, 1)] == [16, 16]


def test_layers_without_points_are_refused():
    with pytest.raises(ValueError, match="points a side"):
        point_grids(4, 3, 2)
    with pytest.raises(ValueError, match="at least 1"):
        point_grid(0)


def test_a_crop_of_a_published_record_is_found():
    """SA-1B has this crop box and this point in an image of 2000 x 1500."""
    boxes, layers = crop_boxes((1500, 2000), 2, 512 / 1500)
    left, top, width, height = 436, 622, 692, 567
    [index] = np.flatnonzero(
        (boxes == [left, top, left + width, top + height]).all(axis=1)
    )
    assert layers[index] == 2
    points = point_grids(32, 2, 2)[2] * [width, height] + [left, top]
    assert (np.abs(points - [825.25, 799.1875]).max(axis=1) < 1e-9).sum() == 1


@given(
    st.tuples(st.integers(200, 3000), st.integers(200, 3000)),
    st.integers(0, 2),
    st.floats(0, 0.9),
)
def test_crops_cover_every_pixel_and_stay_inside(size, crop_layers, overlap_ratio):
    height, width = size
    boxes, layers = crop_boxes(size, crop_layers, overlap_ratio)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    for layer in range(crop_layers + 1):
        of_layer = boxes[layers == layer]
        assert len(of_layer) == 4**layer
        for axis, side in ((0, width), (1, height)):
            covered = np.zeros(side, bool)
            for box in of_layer:
                covered[box[axis] : box[axis + 2]] = True
            assert covered.all()


@pytest.mark.parametrize(
    ("size", "number"),
    [((1, 1), 1), ((1, 2), 2), ((3, 3), 9), ((2, 40), 8), ((4, 4), 16)],
)
def test_crops_without_a_pixel_are_left_out(size, number):
    boxes, layers = crop_boxes(size, 2, 0.0)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (layers == 2).sum() == number
    covered = np.zeros(size, int)
    for left, top, right, bottom in boxes[layers == 2]:
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parity
@pytest.mark.parametrize("size", SIZES)
def test_grids_and_crops_equal_the_reference_bit_for_bit(size):
    import reference

    reference.import_reference()
    from segment_anything.utils import amg

    for overlap_ratio in (512 / 1500, 0.0, 0.7):
        boxes, layers = crop_boxes(size, 2, overlap_ratio)
        expected = amg.generate_crop_boxes(size, 2, overlap_ratio)
        np.testing.assert_array_equal(boxes, expected[0])
        assert layers.tolist() == expected[1]
    for ours, theirs in zip(
        point_grids(32, 2, 2), amg.build_all_layer_point_grids(32, 2, 2), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
