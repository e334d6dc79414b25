"""ODS, OIS, AP and R50 on constructed curves, and the counts they come from."""

import numpy as np
import pytest

from samjax.evaluation.metrics.edge_scores import (
    THRESHOLDS,
    count_edges,
    edge_scores,
    spaced,
)


def counts_of(*points: tuple[float, float], size: int = 1000) -> np.ndarray:
    """Counts of one image with these precisions and recalls, by threshold."""
    return np.array([[round(r * size), size, round(p * size), size] for p, r in points])


def scores_of(*images: np.ndarray):
    thresholds = np.linspace(0.1, 0.9, len(images[0])).tolist()
    return edge_scores(np.stack(images), thresholds)


def test_two_thresholds_are_interpolated_for_ods_and_not_for_ois():
    # Precision .4 to 1 while recall falls from 1 to .4; the best F is in the middle.
    scores = scores_of(counts_of((0.4, 1.0), (1.0, 0.4)))
    middle = 0.7 * (1 - (0.6 / 1.4 / 99) ** 2)  # 100 steps have no exact middle
    assert scores.ods == pytest.approx(middle, abs=1e-6)
    assert scores.ois == pytest.approx(0.8 / 1.4)
    assert scores.precision == pytest.approx(0.7, abs=0.004)
    assert scores.threshold == pytest.approx(0.5, abs=0.005)
    # Precision 1.4 - r at recalls .40 to 1.00; precision .5 is at recall .9.
    recalls = np.arange(40, 101) / 100
    assert scores.ap == pytest.approx((1.4 - recalls).sum() / 100)
    assert scores.r50 == pytest.approx(0.9)


def test_ois_chooses_a_threshold_for_every_image():
    first = counts_of((0.9, 0.9), (0.1, 0.1))
    second = counts_of((0.1, 0.1), (0.9, 0.9))
    scores = scores_of(first, second)
    assert scores.ois == pytest.approx(0.9)
    assert scores.ods == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("points", "ap", "r50"),
    [
        # Perfect precision at all recalls: 101 points over 100.
        ([(1.0, 1.0), (1.0, 0.0)], 1.01, 1.0),
        # A perfect binary map has one recall, and no curve.
        ([(1.0, 1.0), (1.0, 1.0)], 0.0, 1.0),
        # No precision reaches a half.
        ([(0.2, 0.9), (0.4, 0.5)], 0.3 * 0.41, 0.0),
        # The lowest precision is above a half: its recall.
        ([(0.6, 0.9), (0.8, 0.5)], 0.7 * 0.41, 0.9),
    ],
)
def test_ap_and_r50_at_the_ends_of_a_curve(points, ap, r50):
    scores = scores_of(counts_of(*points))
    assert scores.ap == pytest.approx(ap)
    assert scores.r50 == pytest.approx(r50)


def test_one_threshold_and_an_empty_map_have_numbers():
    assert scores_of(counts_of((0.5, 0.5))).ods == pytest.approx(0.5)
    counts = count_edges(np.zeros((9, 9)), np.ones((1, 9, 9), bool))
    scores = edge_scores(counts[None])
    assert scores[:4] == (0.0, 0.0, 0.0, 0.0)


def test_a_predicted_pixel_counts_once_and_an_annotated_one_per_annotator():
    boundaries = np.zeros((2, 40, 40), bool)
    boundaries[:, 20] = True
    boundaries[1, :, 5] = True
    edges = np.zeros((40, 40))
    edges[20] = 0.5
    counts = count_edges(edges, boundaries)
    low, high = counts[49], counts[50]
    annotated = np.count_nonzero(boundaries)
    assert low.tolist() == [80, annotated, 40, 40]
    assert high.tolist() == [0, annotated, 0, 0]
    assert len(counts) == len(THRESHOLDS) == 99


def test_distances_scale_with_the_diagonal_and_strengths_are_checked():
    boundaries = np.zeros((1, 30, 40), bool)
    boundaries[0, 10] = True
    edges = np.zeros((30, 40))
    edges[12] = 1.0
    for share, matched in ((2 / 50, 40), (1.9 / 50, 0)):
        counts = count_edges(edges, boundaries, thresholds=[0.5], max_distance=share)
        assert counts[0, 2] == matched
    with pytest.raises(ValueError, match="from 0.0 to 2.0, expected 0 to 1"):
        count_edges(edges * 2, boundaries)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_level_that_equals_a_threshold_is_on_the_side_of_the_benchmark(dtype):
    # MATLAB's linspace(1/6, 5/6, 5) is above 85 / 255 in its last bit, and not above
    # 170 / 255.
    edges = np.zeros((5, 9), dtype)
    edges[2, 2], edges[2, 6] = 85 / 255, 170 / 255
    counts = count_edges(edges, np.ones((1, 5, 9), bool), thresholds=spaced(5))
    assert counts[:, 3].tolist() == [2, 1, 1, 1, 0]
    assert np.allclose(THRESHOLDS, np.arange(1, 100) / 100, atol=1e-15)


# Counts of the five images of the benchmark's own test (bench/data/test_2) that its maps
# and boundaries give here, by threshold; its program has the figures below.
GOLDEN = (
    [
        [9251, 14318, 2489, 2808],
        [7685, 14318, 1669, 1724],
        [7472, 14318, 1608, 1663],
        [7472, 14318, 1608, 1663],
        [4568, 14318, 946, 946],
    ],
    [
        [7017, 9238, 2103, 3048],
        [5760, 9238, 1142, 1290],
        [5714, 9238, 1120, 1234],
        [5517, 9238, 955, 955],
        [5433, 9238, 906, 906],
    ],
    [
        [9113, 19298, 1959, 1971],
        [7551, 19298, 1642, 1649],
        [4888, 19298, 1065, 1065],
        [4888, 19298, 1065, 1065],
        [2335, 19298, 553, 553],
    ],
    [
        [8140, 17035, 1976, 2104],
        [3502, 17035, 741, 749],
        [3423, 17035, 724, 732],
        [3423, 17035, 724, 732],
        [1573, 17035, 324, 324],
    ],
    [
        [8369, 9616, 2138, 2642],
        [6330, 9616, 1393, 1697],
        [5165, 9616, 1102, 1118],
        [5165, 9616, 1102, 1118],
        [5165, 9616, 1102, 1118],
    ],
)


def test_the_figures_of_the_benchmarks_own_test_follow_from_the_counts():
    scores = edge_scores(np.array(GOLDEN), spaced(5))
    assert scores.ods == pytest.approx(0.704628, abs=2e-4)
    assert scores.ois == pytest.approx(0.708698, abs=2e-4)
    assert scores.ap == pytest.approx(0.307627, abs=2e-4)
    assert scores.threshold == pytest.approx(1 / 6)
    assert scores.precision == pytest.approx(0.848723, abs=1e-3)
    assert scores.recall == pytest.approx(0.602360, abs=1e-3)
