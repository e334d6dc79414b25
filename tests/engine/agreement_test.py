import numpy as np
import pytest

from samjax.engine.agreement import (
    LEAST_IOU,
    boundary_iou,
    compare_masks,
    label_agreement,
)
from samjax.geometry.masks import encode_rle

SIZE = (20, 30)


def stored(*box, size=SIZE, label=""):
    drawn = np.zeros(size, bool)
    top, left, bottom, right = box
    drawn[top:bottom, left:right] = True
    rle = encode_rle(drawn)
    segmentation = {"size": list(size), "counts": rle["counts"]}
    return {"segmentation": segmentation, "label": label}


ONE, TWO, FAR = stored(0, 0, 10, 10), stored(0, 0, 10, 8), stored(15, 20, 20, 30)


@pytest.mark.parametrize(
    ("masks", "others", "expected"),
    [
        ([], [], (None, 0, 0, 0)),
        ([ONE], [], (None, 0, 0, 1)),
        ([], [ONE, FAR], (None, 0, 2, 0)),
        ([ONE, FAR], [FAR, ONE], (1.0, 2, 0, 0)),
        ([TWO], [ONE], (0.8, 1, 0, 0)),
        ([TWO, FAR], [ONE], (0.8, 1, 0, 1)),
        ([stored(0, 0, 10, 4)], [ONE], (None, 0, 1, 1)),
        ([stored(0, 0, 10, 5)], [ONE], (LEAST_IOU, 1, 0, 0)),
        ([stored(0, 0, 5, 5, size=(9, 9))], [ONE], (None, 0, 1, 0)),
    ],
)
def test_masks_are_paired_missed_or_extra(masks, others, expected):
    assert compare_masks(masks, others)[:4] == pytest.approx(expected)


def test_pairs_are_the_best_in_sum_not_the_first_best():
    # Greedy pairing takes 0.9 first and leaves the others without a partner.
    a, b = stored(0, 0, 10, 10), stored(0, 0, 10, 20)
    near_both = stored(0, 0, 10, 11)
    result = compare_masks([a, b], [near_both, stored(0, 0, 10, 9)])
    assert result.matched == 2 and result.mean_iou == pytest.approx((11 / 20 + 0.9) / 2)


def test_comparing_the_other_way_swaps_missed_and_extra():
    rng = np.random.default_rng(0)
    for _ in range(20):
        some, others = (
            [
                stored(y, x, y + rng.integers(1, 10), x + rng.integers(1, 12))
                for y, x in rng.integers(0, 12, (rng.integers(0, 5), 2))
            ]
            for _ in range(2)
        )
        there, back = compare_masks(some, others), compare_masks(others, some)
        assert (there.matched, there.missed, there.extra) == (
            back.matched,
            back.extra,
            back.missed,
        )
        assert there.mean_iou == pytest.approx(back.mean_iou)


def test_boundaries_and_labels_are_those_of_the_pairs():
    a = [stored(0, 0, 10, 10, label="cup"), FAR]
    b = [stored(15, 20, 20, 30, label="dish"), stored(0, 0, 10, 10, label="cup")]
    result = compare_masks(a, b)
    assert result.labels == (("cup", "cup"), ("", "dish"))
    assert result.boundary_iou == 1.0
    assert compare_masks(a, []).boundary_iou is None
    # Of the same objects the boundaries agree less than the areas.
    near = compare_masks([stored(4, 4, 18, 20)], [stored(4, 4, 18, 21)])
    assert near.mean_iou is not None and near.boundary_iou is not None
    assert near.mean_iou > 0.9 > near.boundary_iou > 0


def test_boundary_iou_is_that_of_evaluations():
    pytest.importorskip("cv2")
    from samjax.evaluation.detections import BOUNDARY_RATIO
    from samjax.evaluation.metrics.boundary_iou import boundary_iou as with_opencv

    rng = np.random.default_rng(0)
    for size in ((40, 60), (200, 150)):
        for _ in range(5):
            masks = np.zeros((2, *size), bool)
            for mask in masks:
                top, left = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
                mask[top : top + rng.integers(8, 99), left : left + 50] = True
            expected = with_opencv(*masks, BOUNDARY_RATIO)
            assert boundary_iou(*masks) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "share", "kappa"),
    [
        ([], None, None),
        ([("", "")], None, None),
        ([("cup", "cup")] * 4, 1.0, None),
        ([("cup", "cup"), ("dish", "dish")], 1.0, 1.0),
        ([("cup", "dish"), ("dish", "cup")], 0.0, -1.0),
        # Cohen: as often as by chance.
        ([(a, b) for a in ("cup", "dish") for b in ("cup", "dish")], 0.5, 0.0),
        ([("cup", ""), ("cup", "cup"), ("", "")], 0.5, 0.0),
    ],
)
def test_labels_agree_beyond_chance_by_kappa(labels, share, kappa):
    assert label_agreement(labels) == (share, kappa)
