"""Relations of run-length coded masks: what plain masks of pixels say, and less memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samjax.geometry import overlaps
from samjax.geometry.masks import mask_to_counts
from samjax.geometry.overlaps import (
    containment_tree,
    depths,
    intersections,
    label_map,
    mask_nms,
    pairwise_iou,
)

thresholds = st.sampled_from([0, 0.25, 0.5, 2 / 3, 0.7, 0.9, 1, 1.0])
above_zero = thresholds.filter(bool)


@st.composite
def stacks_of_masks(draw) -> np.ndarray:
    """Masks of one small image, many of them empty, full, alike or nested."""
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    masks = np.zeros((draw(st.integers(0, 8)), *size), bool)
    kinds = ("noise", "box", "empty", "full", "pixel", "double", "part", "all but one")
    for index, mask in enumerate(masks):
        kind = draw(st.sampled_from(kinds))
        earlier = masks[draw(st.integers(0, max(index - 1, 0)))]
        pixel = tuple(draw(st.integers(0, side - 1)) for side in size)
        if kind == "noise":
            mask[:] = draw(hnp.arrays(bool, size))
        elif kind == "box":
            mask[pixel[0] :, : pixel[1] + 1] = True
        elif kind == "full":
            mask[:] = True
        elif kind == "pixel":
            mask[pixel] = True
        elif kind == "double":
            mask[:] = earlier
        elif kind == "part":
            mask[:] = earlier & draw(hnp.arrays(bool, size))
        elif kind == "all but one":
            mask[:] = earlier
            mask[pixel] = False
    return masks


def coded(masks: np.ndarray) -> list[np.ndarray]:
    return [mask_to_counts(mask) for mask in masks]


def shared_by(masks: np.ndarray) -> np.ndarray:
    """Shared pixels of every two masks, counted one by one."""
    return (masks[:, None] & masks[None]).sum(axis=(2, 3))


def iou_of(masks: np.ndarray) -> np.ndarray:
    """IoU of every two masks, 0 where both are empty, from pixels."""
    union = (masks[:, None] | masks[None]).sum(axis=(2, 3))
    return np.where(union > 0, shared_by(masks) / np.where(union > 0, union, 1), 0.0)


@given(stacks_of_masks())
@example(np.zeros((0, 3, 4), bool))
@example(np.zeros((2, 0, 4), bool))
@example(np.ones((3, 1, 7), bool))
@example(np.ones((3, 7, 1), bool))
def test_intersections_count_the_pixels_that_masks_share(masks):
    shared = intersections(coded(masks), masks.shape[1:])
    assert shared.dtype == np.int64
    np.testing.assert_array_equal(shared, shared_by(masks))


@given(stacks_of_masks(), st.data())
def test_runs_of_length_zero_change_nothing(masks, data):
    counts = []
    for lengths in coded(masks):
        place = data.draw(st.integers(0, len(lengths)))
        counts.append(np.insert(lengths, place, [0, 0]).astype(np.int32))
    size = masks.shape[1:]
    np.testing.assert_array_equal(intersections(counts, size), shared_by(masks))
    np.testing.assert_array_equal(
        label_map(counts, size), label_map(coded(masks), size)
    )


@pytest.mark.parametrize("pairs", [1, 2, 7, 100])
def test_how_many_pairs_are_held_at_a_time_changes_nothing(monkeypatch, rng, pairs):
    masks = rng.random((9, 20, 30)) < rng.random((9, 1, 1))
    masks[4] = True
    monkeypatch.setattr(overlaps, "_PAIRS_AT_ONCE", pairs)
    np.testing.assert_array_equal(
        intersections(coded(masks), (20, 30)), shared_by(masks)
    )


def test_hundreds_of_masks_of_millions_of_pixels_are_never_unpacked(rng):
    height, width, k = 1500, 2250, 300
    corners = rng.integers(0, [height, width], (k, 2, 2))
    tops, lefts = corners.min(axis=1).T
    bottoms, rights = corners.max(axis=1).T + 1
    counts = []
    for top, bottom, left, right in zip(tops, bottoms, lefts, rights, strict=True):
        ones = np.arange(left, right) * height + np.array([[top], [bottom]])
        changes = np.concatenate([[0], ones.T.reshape(-1), [height * width]])
        counts.append(np.diff(changes))
    tracemalloc.start()
    shared = intersections(counts, (height, width))
    labels = label_map(counts, (height, width))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    high = np.minimum.outer(bottoms, bottoms) - np.maximum.outer(tops, tops)
    wide = np.minimum.outer(rights, rights) - np.maximum.outer(lefts, lefts)
    np.testing.assert_array_equal(shared, high.clip(0) * wide.clip(0))
    smallest = np.diagonal(shared).argmin()
    assert (labels == smallest + 1).sum() == shared[smallest, smallest]
    # All masks as pixels are 1 GB.
    assert peak < 100e6


@pytest.mark.parametrize("function", [intersections, label_map])
@pytest.mark.parametrize(
    "damaged",
    [
        [2, 3],
        [7],
        [],
        [7, -1],
        [-1, 7],
        # Overflows to 6.
        [1, 2**63 - 1, 2**63 - 1, 7],
    ],
)
def test_runs_that_do_not_fill_the_image_are_refused_with_the_masks_number(
    function, damaged
):
    counts = [np.array([6]), np.array([0, 6]), np.array(damaged, np.int64)]
    with pytest.raises(ValueError, match="runs of mask 2 of 3.*expected 6 pixels"):
        function(counts, (2, 3))
    with pytest.raises(ValueError, match="neither negative"):
        function(counts[:2], (-2, -3))


@given(stacks_of_masks())
def test_iou_is_that_of_the_pixels_and_zero_of_empty_masks(masks):
    iou = pairwise_iou(shared_by(masks))
    np.testing.assert_array_equal(iou, iou_of(masks))
    is_empty = ~masks.any(axis=(1, 2))
    assert (iou[is_empty] == 0).all() and (iou[:, is_empty] == 0).all()
    assert (np.diagonal(iou)[~is_empty] == 1).all()


@given(stacks_of_masks(), thresholds, st.data())
def test_suppression_goes_from_the_highest_score_down(masks, threshold, data):
    scores = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=len(masks), max_size=len(masks)))
    )
    iou = iou_of(masks)
    expected = []
    for index in sorted(range(len(masks)), key=lambda index: -scores[index]):
        if all(iou[index, better] <= threshold for better in expected):
            expected.append(index)
    for kind in (np.float32, np.uint8, np.int64):
        kept = mask_nms(shared_by(masks), scores.astype(kind), threshold)
        assert kept.tolist() == sorted(expected)


def test_masks_at_the_threshold_stay_and_of_equal_scores_the_first():
    shared = np.array([[2, 1, 1], [1, 1, 1], [1, 1, 1]])
    assert mask_nms(shared, np.array([1.0, 9.0, 9.0]), 0.5).tolist() == [0, 1]
    assert mask_nms(shared, np.array([1.0, 9.0, 9.0]), 0.49).tolist() == [1]
    assert mask_nms(shared, np.array([1.0, 8.0, 9.0]), 1).tolist() == [0, 1, 2]


def test_scores_and_thresholds_that_make_no_sense_are_refused():
    shared = np.eye(2, dtype=int)
    with pytest.raises(ValueError, match="got 3 scores.*for 2 masks"):
        mask_nms(shared, np.zeros(3), 0.5)
    with pytest.raises(ValueError, match="1 of them NaN"):
        mask_nms(shared, np.array([1.0, np.nan]), 0.5)
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="got threshold="):
            mask_nms(shared, np.zeros(2), threshold)
        with pytest.raises(ValueError, match="got threshold="):
            containment_tree(shared, threshold)
    with pytest.raises(ValueError, match="above 0"):
        containment_tree(shared, 0)


@given(stacks_of_masks(), above_zero)
def test_a_parent_is_the_smallest_larger_mask_that_holds_enough(masks, threshold):
    def rank(index: int) -> tuple[int, int]:
        return int(masks[index].sum()), -index

    parents = containment_tree(shared_by(masks), threshold)
    for index, mask in enumerate(masks):
        candidates = [
            other
            for other in range(len(masks))
            if rank(other) > rank(index)
            and mask.any()
            and (mask & masks[other]).sum() / mask.sum() >= threshold
        ]
        assert parents[index] == min(candidates, key=rank, default=-1)


@given(stacks_of_masks(), above_zero)
def test_every_way_up_ends_at_a_whole_and_never_gets_smaller(masks, threshold):
    parents = containment_tree(shared_by(masks), threshold)
    areas = masks.sum(axis=(1, 2))
    steps = []
    for index in range(len(masks)):
        way = [index]
        while parents[way[-1]] >= 0:
            way.append(int(parents[way[-1]]))
            assert len(way) <= len(masks)
        assert (np.diff(areas[way]) >= 0).all()
        steps.append(len(way) - 1)
    assert depths(parents).tolist() == steps


def test_equal_masks_hang_on_one_another_in_their_order():
    masks = np.ones((4, 3, 3), bool)
    parents = containment_tree(intersections(coded(masks), (3, 3)))
    assert parents.tolist() == [-1, 0, 1, 2]
    assert depths(parents).tolist() == [0, 1, 2, 3]
    assert (label_map(coded(masks), (3, 3)) == 4).all()


def test_a_share_of_just_the_threshold_is_enough():
    """7 of 10 pixels are 0.7; 0.7 * 10 pixels would be more than 7."""
    shared = np.array([[10, 7], [7, 20]])
    assert containment_tree(shared, 0.7).tolist() == [1, -1]
    assert containment_tree(shared, 0.71).tolist() == [-1, -1]


@pytest.mark.parametrize("parents", [[0], [1, 0], [-1, 2, 3, 1], [2, 2, 2, 0]])
def test_masks_that_lie_in_themselves_are_refused(parents):
    with pytest.raises(ValueError, match="lies in itself"):
        depths(np.array(parents))


@pytest.mark.parametrize("parents", [[-1, -2], [-1, 2]])
def test_parents_that_are_no_masks_are_refused(parents):
    with pytest.raises(ValueError, match="of mask 1, expected -1 to 1"):
        depths(np.array(parents))


@given(stacks_of_masks())
@example(np.zeros((0, 3, 4), bool))
@example(np.zeros((2, 0, 4), bool))
def test_labels_show_the_smallest_mask_and_of_equal_ones_the_later(masks):
    size = masks.shape[1:]
    labels = label_map(coded(masks), size)
    assert labels.dtype == np.int32 and labels.flags.c_contiguous
    expected = np.zeros(size, int)
    for y, x in np.ndindex(size):
        covering = np.flatnonzero(masks[:, y, x]).tolist()
        if covering:
            best = min(covering, key=lambda index: (masks[index].sum(), -index))
            expected[y, x] = best + 1
    np.testing.assert_array_equal(labels, expected)


@given(stacks_of_masks())
def test_a_part_that_lies_wholly_in_its_parent_is_drawn_over_it(masks):
    """The tree and the map agree on which of two masks is the larger."""
    parents = containment_tree(shared_by(masks), 1)
    labels = label_map(coded(masks), masks.shape[1:])
    for index, parent in enumerate(parents):
        if parent >= 0:
            assert not (labels[masks[index]] == parent + 1).any()
