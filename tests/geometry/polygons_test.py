"""Polygons give masks back pixel for pixel, and fill as pycocotools fills."""

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from samjax.geometry.masks import mask_to_counts
from samjax.geometry.polygons import (
    join_polygons,
    mask_to_polygons,
    polygons_to_counts,
    polygons_to_mask,
)

# pycocotools' own arrays, under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16))

RING = np.ones((5, 7), bool)
RING[2:4, 3:5] = False
NESTED = np.zeros((9, 9), bool)
NESTED[0:9, 0:9] = True
NESTED[1:8, 1:8] = False
NESTED[2:7, 2:7] = True
NESTED[4, 4] = False
HOLES_IN_A_COLUMN = np.ones((9, 5), bool)
HOLES_IN_A_COLUMN[[2, 4, 6], 2] = False
HOLE_THAT_LEAKS_BY_A_CORNER = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
CHECKERS = np.indices((8, 8)).sum(axis=0) % 2 == 0


def hard_cases(test):
    """Adds masks on which tracing is most likely to go wrong."""
    cases = [
        np.zeros((3, 4), bool),
        np.ones((3, 4), bool),
        np.ones((1, 1), bool),
        np.ones((1, 9), bool),
        np.ones((9, 1), bool),
        np.eye(5, dtype=bool),
        np.eye(5, dtype=bool)[::-1].copy(),
        ~np.eye(5, dtype=bool),
        RING,
        NESTED,
        HOLES_IN_A_COLUMN,
        HOLE_THAT_LEAKS_BY_A_CORNER,
        CHECKERS,
        ~CHECKERS,
    ]
    for case in cases:
        test = example(case)(test)
    return test


def coco_fill(polygons: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The mask that pycocotools makes of polygons."""
    lists = [polygon.reshape(-1).tolist() for polygon in polygons]
    coded = coco.merge(coco.frPyObjects(lists, *size))
    return coco.decode({**coded, "counts": bytes(coded["counts"])}).astype(bool)


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


@given(masks)
@hard_cases
def test_a_mask_comes_back_from_its_polygons(mask):
    polygons = mask_to_polygons(mask)
    np.testing.assert_array_equal(polygons_to_mask(polygons, mask.shape), mask)


@given(masks)
@hard_cases
def test_pycocotools_fills_our_polygons_to_the_same_mask(mask):
    polygons = mask_to_polygons(mask)
    if polygons:
        np.testing.assert_array_equal(coco_fill(polygons, mask.shape), mask)
    else:
        assert not mask.any()


@given(masks)
@hard_cases
def test_a_mask_comes_back_from_the_one_line_that_joins_its_polygons(mask):
    polygons = mask_to_polygons(mask)
    if polygons:
        line = join_polygons(polygons)
        np.testing.assert_array_equal(polygons_to_mask([line], mask.shape), mask)
        np.testing.assert_array_equal(coco_fill([line], mask.shape), mask)


def test_thousands_of_polygons_are_joined_to_one_line(monkeypatch, rng):
    mask = rng.random((60, 60)) < 0.3
    polygons = mask_to_polygons(mask)
    assert len(polygons) > 100
    for searched in (50, 10**6):
        monkeypatch.setattr("samjax.geometry.polygons._CORNERS_SEARCHED", searched)
        line = join_polygons(polygons)
        np.testing.assert_array_equal(polygons_to_mask([line], mask.shape), mask)


def test_a_polygon_is_joined_at_its_nearest_corner():
    left = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
    line = join_polygons([left, left + [5, 1]]).tolist()
    assert line == [
        *[[0, 0], [2, 0], [5, 1], [7, 1], [7, 3], [5, 3], [5, 1], [2, 0]],
        *[[2, 2], [0, 2]],
    ]


@given(masks)
@hard_cases
def test_areas_add_up_to_the_number_of_pixels(mask):
    """So the winding number is 1 inside and 0 in holes, and bridges enclose nothing."""
    areas = [area(polygon) for polygon in mask_to_polygons(mask)]
    assert all(value > 0 for value in areas)
    assert sum(areas) == mask.sum()


@given(masks)
def test_every_polygon_starts_at_its_top_left_and_they_are_sorted(mask):
    polygons = mask_to_polygons(mask)
    starts = [(polygon[0, 1], polygon[0, 0]) for polygon in polygons]
    assert starts == sorted(starts)
    for polygon, start in zip(polygons, starts, strict=True):
        assert start == min((y, x) for x, y in polygon.tolist())
        assert not np.any(np.all(polygon == np.roll(polygon, 1, axis=0), axis=1))


def test_a_polygon_runs_along_the_edges_of_pixels():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    (square,) = mask_to_polygons(mask)
    assert square.tolist() == [[2, 1], [4, 1], [4, 3], [2, 3]]


def test_a_hole_hangs_on_a_bridge_that_goes_straight_up():
    (polygon,) = mask_to_polygons(RING)
    line = polygon.tolist()
    assert line[:3] == [[0, 0], [3, 0], [3, 2]]
    assert line[-4:] == [[3, 0], [7, 0], [7, 5], [0, 5]]
    assert len(line) == 4 + 4 + 3


def test_bridges_that_end_on_one_edge_stand_in_its_order():
    mask = np.ones((3, 7), bool)
    mask[1, [1, 3, 5]] = False
    (polygon,) = mask_to_polygons(mask)
    along_the_top = polygon[polygon[:, 1] == 0, 0]
    assert along_the_top.tolist() == [0, 1, 1, 3, 3, 5, 5, 7]


def test_regions_hang_together_by_corners():
    assert len(mask_to_polygons(np.eye(5, dtype=bool))) == 1
    assert len(mask_to_polygons(np.diag([True, False, True]))) == 2


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(3, 9), st.just(2)),
        elements=st.one_of(
            st.floats(-20, 40, width=32),
            st.integers(-40, 80).map(lambda half: half / 2),
            st.integers(-100, 200).map(lambda tenth: tenth / 10),
        ),
    ),
    st.integers(1, 24),
    st.integers(1, 24),
)
def test_any_polygon_is_filled_as_pycocotools_fills_it(polygon, height, width):
    expected = coco_fill([polygon], (height, width))
    np.testing.assert_array_equal(
        polygons_to_mask([polygon], (height, width)), expected
    )


@pytest.mark.parametrize(
    "corners",
    [
        [[7.0, 45.0], [20.0, 0.0], [35.0, 26.0]],
        [[15.0, 23.5], [0.0, 2.0], [12.0, 1.5]],
        [[24.5, 26.0], [17.0, 21.5], [8.0, 6.0]],
    ],
)
def test_steep_edges_that_pass_between_two_fifths_are_rounded_alike(corners):
    """Where they pass is a quotient, which floats give a step too far."""
    polygon = np.array(corners)
    np.testing.assert_array_equal(
        polygons_to_mask([polygon], (60, 60)), coco_fill([polygon], (60, 60))
    )


def test_long_outlines_are_followed_in_parts(monkeypatch, rng):
    monkeypatch.setattr("samjax.geometry.polygons._CROSSINGS_AT_ONCE", 50)
    polygon = rng.uniform(-5, 45, (300, 2))
    np.testing.assert_array_equal(
        polygons_to_mask([polygon], (40, 30)), coco_fill([polygon], (40, 30))
    )


def test_a_claimed_size_takes_no_memory():
    side = 46_340
    square = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    tracemalloc.start()
    counts = polygons_to_counts([square, square // 2], (side, side))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.tolist() == [0, side * side] and peak < 32 << 20


def test_outlines_beyond_all_bounds_are_refused():
    zigzag = np.array([[i % 2 * 40_000, i] for i in range(200)])
    with pytest.raises(ValueError, match="cross 8000000 columns .*run lengths"):
        polygons_to_counts([zigzag], (40_000, 40_000))


@given(masks, st.integers(0, 3), st.integers(0, 3))
@example(np.ones((3, 3), bool), 0, 0)
@example(np.zeros((3, 3), bool), 0, 0)
def test_counts_are_those_of_the_filled_mask(mask, left, right):
    wide = np.pad(mask, ((1, 0), (left, right)))
    counts = polygons_to_counts(mask_to_polygons(wide), wide.shape)
    np.testing.assert_array_equal(counts, mask_to_counts(wide))


def test_the_union_of_polygons_is_filled():
    left = np.array([[0, 0], [4, 0], [4, 3], [0, 3]])
    right = left + [2, 0]
    np.testing.assert_array_equal(
        polygons_to_mask([left, right], (3, 6)), np.ones((3, 6), bool)
    )


@pytest.mark.parametrize("tolerance", [1.0, 3.0])
def test_a_simplified_outline_has_fewer_corners_and_stays_near(tolerance):
    y, x = np.mgrid[:120, :150]
    ring = np.hypot(y - 60, x - 70)
    mask = (ring < 50) & (ring > 20)
    (exact,) = mask_to_polygons(mask)
    (simple,) = mask_to_polygons(mask, tolerance=tolerance)
    assert len(simple) < 0.5 * len(exact)
    wrong = polygons_to_mask([simple], mask.shape) != mask
    distance = np.minimum(np.abs(ring - 50), np.abs(ring - 20))
    assert distance[wrong].max(initial=0) <= tolerance + 1
    assert not polygons_to_mask([simple], mask.shape)[60, 70]


@given(masks, st.floats(0.1, 4.0))
@example(np.eye(5, dtype=bool), 3.0)
@example(NESTED, 1.5)
@example(HOLES_IN_A_COLUMN, 2.0)
def test_no_region_vanishes_by_simplification(mask, tolerance):
    exact = mask_to_polygons(mask)
    simple = mask_to_polygons(mask, tolerance=tolerance)
    assert len(simple) == len(exact)
    for polygon in simple:
        assert len(polygon) >= 3
        assert (polygon == polygon.round()).all()


def test_a_hole_smaller_than_the_tolerance_is_filled():
    mask = np.ones((20, 20), bool)
    mask[10, 10] = False
    (polygon,) = mask_to_polygons(mask, tolerance=2.0)
    assert polygon.tolist() == [[0, 0], [20, 0], [20, 20], [0, 20]]


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_no_distance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        mask_to_polygons(RING, tolerance=tolerance)


@pytest.mark.parametrize("corner", [np.nan, np.inf, -np.inf, 1e300, 1e8])
def test_corners_of_no_image_are_refused(corner):
    polygon = np.array([[0.0, 0.0], [1.0, corner], [2.0, 2.0]])
    with pytest.raises(ValueError, match="expected finite pixels"):
        polygons_to_mask([polygon], (4, 4))


def test_a_line_of_two_corners_is_no_polygon():
    with pytest.raises(ValueError, match="at least three"):
        polygons_to_mask([np.zeros((2, 2))], (4, 4))


def test_nothing_cannot_be_joined():
    with pytest.raises(ValueError, match="no polygons"):
        join_polygons([])


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"samjax\[eval\]"):
        mask_to_polygons(RING)
