"""One-to-one matching of the pixels of two edge maps, exact and deterministic.

The benchmark of BSDS500 (Martin, Fowlkes and Malik, 2004) matches predicted to annotated
edge pixels at most `max_distance` apart: as many pairs as possible, and of these
matchings one of the least total distance. The graph of candidate pairs falls apart into
small connected components, each of which is an assignment problem that scipy solves
exactly. The benchmark's own program solves one problem with random edges to outliers,
and loses a pair now and then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class EdgeMatch(NamedTuple):
    """The matched pixels of two edge maps.

    Attributes:
        predicted: The pixels of the first map that have a partner.
        truth: The pixels of the second map that have one.
        distance: Sum of the distances of all pairs, in pixels.
    """

    predicted: Bool[np.ndarray, "h w"]
    truth: Bool[np.ndarray, "h w"]
    distance: float


class _Pairs(NamedTuple):
    """The candidate pairs: indices of set pixels in both maps, and their distances."""

    predicted: Int[np.ndarray, " n"]
    truth: Int[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]

    def __getitem__(self, part):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Pairs(self.predicted[part], self.truth[part], self.distances[part])


def match_edges(
    predicted: Bool[np.ndarray, "h w"],
    truth: Bool[np.ndarray, "h w"],
    max_distance: float,
) -> EdgeMatch:
    """Matches the pixels of two edge maps.

    Args:
        predicted: The predicted edge map, thinned.
        truth: The annotated edge map.
        max_distance: Largest distance of a pair, included, in pixels.
    """
    pairs = _candidates(predicted, truth, max_distance)
    first = np.zeros(np.count_nonzero(predicted), bool)
    second = np.zeros(np.count_nonzero(truth), bool)
    distance = 0.0
    for part in _components(pairs, len(first), len(second)):
        chosen = _assign(part, max_distance)
        first[chosen.predicted] = True
        second[chosen.truth] = True
        distance += float(chosen.distances.sum())
    return EdgeMatch(_at(predicted, first), _at(truth, second), distance)


def _candidates(
    predicted: Bool[np.ndarray, "h w"],
    truth: Bool[np.ndarray, "h w"],
    max_distance: float,
) -> _Pairs:
    """Returns all pairs of at most the distance, sorted by both indices."""
    radius = int(np.floor(max_distance))
    numbers = np.full(truth.shape, -1, np.int64)
    numbers[truth] = np.arange(np.count_nonzero(truth))
    numbers = np.pad(numbers, radius, constant_values=-1)
    rows, columns = np.nonzero(predicted)
    steps = np.arange(-radius, radius + 1)
    down, right = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    squared = down**2 + right**2
    near = squared <= max_distance**2
    down, right, squared = down[near], right[near], squared[near]
    found = numbers[
        rows[:, None] + radius + down[None], columns[:, None] + radius + right[None]
    ]
    pixel, offset = np.nonzero(found >= 0)
    return _Pairs(pixel, found[pixel, offset], np.sqrt(squared[offset]))


def _components(pairs: _Pairs, predicted: int, truth: int) -> list[_Pairs]:
    """Returns the pairs of each connected component of the candidate graph."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs.predicted):
        return []
    size = predicted + truth
    graph = coo_array(
        (
            np.ones(len(pairs.predicted), np.int8),
            (pairs.predicted, pairs.truth + predicted),
        ),
        shape=(size, size),
    )
    labels = connected_components(graph.tocsr(), directed=False)[1][pairs.predicted]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return [pairs[part] for part in np.split(order, starts)]


def _assign(pairs: _Pairs, max_distance: float) -> _Pairs:
    """Returns the pairs of the best matching of one component."""
    from scipy.optimize import linear_sum_assignment

    if len(pairs.predicted) == 1:
        return pairs
    rows, row = np.unique(pairs.predicted, return_inverse=True)
    columns, column = np.unique(pairs.truth, return_inverse=True)
    if len(rows) == 1 or len(columns) == 1:
        nearest = int(np.argmin(pairs.distances))
        return pairs[nearest : nearest + 1]
    # Dearer than all pairs of a matching together: the number of pairs comes first.
    lost = (min(len(rows), len(columns)) + 1) * max(max_distance, 1.0)
    costs = np.full((len(rows), len(columns)), lost)
    costs[row, column] = pairs.distances
    chosen = linear_sum_assignment(costs)
    distances = costs[chosen]
    kept = distances < lost
    return _Pairs(rows[chosen[0][kept]], columns[chosen[1][kept]], distances[kept])


def _at(
    edges: Bool[np.ndarray, "h w"], matched: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, "h w"]:
    """Returns a map of the matched ones of the set pixels."""
    result = np.zeros_like(edges)
    result[edges] = matched
    return result
