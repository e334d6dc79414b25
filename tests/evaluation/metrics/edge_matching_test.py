"""Matching of edge pixels equals brute force, and includes pairs at the limit."""

import functools

import numpy as np
import pytest

from samjax.evaluation.metrics import edge_matching
from samjax.evaluation.metrics.edge_matching import EdgeMatcher, match_edges


def brute_force(predicted, truth, max_distance) -> tuple[int, float]:
    """The largest number of pairs and their least total distance, over all matchings."""
    first, second = np.argwhere(predicted), np.argwhere(truth)
    squared = ((first[:, None] - second[None]) ** 2).sum(axis=-1)

    @functools.cache
    def best(row: int, used: int) -> tuple[int, float]:
        if row == len(first):
            return 0, 0.0
        choices = [best(row + 1, used)]
        for column in np.flatnonzero(squared[row] <= max_distance**2).tolist():
            if not used >> column & 1:
                lost, distance = best(row + 1, used | 1 << column)
                choices.append((lost - 1, distance + squared[row, column] ** 0.5))
        return min(choices)

    lost, distance = best(0, 0)
    return -lost, distance


@pytest.mark.parametrize("seed", range(40))
def test_matching_equals_brute_force_on_small_maps(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 8, 2))
    predicted, truth = rng.random((2, *shape)) < rng.uniform(0.1, 0.25, (2, 1, 1))
    max_distance = float(rng.choice([0.0, 1.0, 1.5, 2.0, 5**0.5, 3.2]))
    count, distance = brute_force(predicted, truth, max_distance)
    match = match_edges(predicted, truth, max_distance)
    assert np.count_nonzero(match.predicted) == count
    assert np.count_nonzero(match.truth) == count
    assert match.distance == pytest.approx(distance, abs=1e-9)
    assert not (match.predicted & ~predicted).any()
    assert not (match.truth & ~truth).any()


def test_more_pairs_are_better_than_near_ones():
    predicted, truth = np.zeros((2, 1, 9), bool)
    predicted[0, [2, 3]] = True
    truth[0, [0, 2]] = True
    # Taking 2-2 leaves 3-0 too far apart: two pairs of distances 2 and 1 are chosen.
    match = match_edges(predicted, truth, 2.0)
    assert np.count_nonzero(match.predicted) == 2
    assert match.distance == pytest.approx(3.0)


@pytest.mark.parametrize(("max_distance", "pairs"), [(5.0, 1), (4.999, 0)])
def test_a_pair_at_the_largest_distance_is_included(max_distance, pairs):
    predicted, truth = np.zeros((2, 4, 5), bool)
    predicted[0, 0] = truth[3, 4] = True
    match = match_edges(predicted, truth, max_distance)
    assert np.count_nonzero(match.truth) == pairs


def test_empty_maps_match_nothing():
    empty, full = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    for pair in ((empty, full), (full, empty), (empty, empty)):
        match = match_edges(*pair, 2.0)
        assert not match.predicted.any() and not match.truth.any()


def test_a_matcher_gives_for_every_map_what_a_new_one_gives():
    rng = np.random.default_rng(3)
    truth = rng.random((40, 50)) < 0.1
    strengths = rng.random((40, 50))
    matcher = EdgeMatcher(truth, 2.5)
    for threshold in (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.7):
        predicted = strengths > threshold
        again, anew = matcher.match(predicted), match_edges(predicted, truth, 2.5)
        assert np.array_equal(again.predicted, anew.predicted)
        assert np.array_equal(again.truth, anew.truth)
        assert again.distance == pytest.approx(anew.distance)


@pytest.mark.parametrize("seed", range(6))
def test_both_solvers_choose_the_same_of_equally_good_matchings(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((2, 30, 40)) < rng.uniform(0.05, 0.4, (2, 1, 1))
    matches = []
    for most in (0, 10**9):
        monkeypatch.setattr(edge_matching, "_DENSE", most)
        matches.append(match_edges(predicted, truth, 3.0))
    sparse, dense = matches
    assert np.array_equal(sparse.predicted, dense.predicted)
    assert np.array_equal(sparse.truth, dense.truth)
    assert sparse.distance == pytest.approx(dense.distance, abs=1e-9)


def test_the_seed_chooses_between_equally_good_matchings():
    predicted, truth = np.zeros((2, 3, 40), bool)
    # Every true pixel has a predicted one on each side.
    predicted[::2], truth[1] = True, True
    matches = [match_edges(predicted, truth, 1.0, seed) for seed in (0, 0, 1)]
    assert {match.distance for match in matches} == {40.0}
    assert np.array_equal(matches[0].predicted, matches[1].predicted)
    both = matches[0].predicted | matches[2].predicted
    assert 50 < np.count_nonzero(both) < 70
