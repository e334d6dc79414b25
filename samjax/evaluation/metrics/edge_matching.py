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
    """Pairs: indices of pixels of both maps, and their distances."""

    predicted: Int[np.ndarray, " n"]
    truth: Int[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]

    def part(self, index: slice | Int[np.ndarray, " k"]) -> _Pairs:
        """Returns some of the pairs."""
        return _Pairs(self.predicted[index], self.truth[index], self.distances[index])


class EdgeMatcher:
    """An annotated edge map, to match predicted ones with.

    Components that occurred in the map before are not solved again: from one threshold
    to the next most of them stay as they are.

    Args:
        truth: The annotated edge map (h, w), Boolean.
        max_distance: Largest distance of a pair, included, in pixels.
    """

    def __init__(self, truth: Bool[np.ndarray, "h w"], max_distance: float):
        self._max_distance = max_distance
        self._radius = int(np.floor(max_distance))
        self._places = np.flatnonzero(truth)
        numbers = np.full(truth.shape, -1, np.int64)
        numbers[truth] = np.arange(len(self._places))
        self._numbers = np.pad(numbers, self._radius, constant_values=-1)
        self._solved: dict[bytes, _Pairs] = {}

    def match(self, predicted: Bool[np.ndarray, "h w"]) -> EdgeMatch:
        """Matches the pixels of an edge map of the same size.

        Args:
            predicted: The predicted edge map, thinned.
        """
        places = np.flatnonzero(predicted)
        pairs = self._candidates(predicted)
        first, second = np.zeros((2, predicted.size), bool)
        distance, solved = 0.0, {}
        for part in _components(pairs, len(places), len(self._places)):
            # The predicted pixels of a component determine its annotated ones.
            key = places[part.predicted].tobytes()
            chosen = self._solved.get(key)
            if chosen is None:
                best = _assign(part, self._max_distance)
                chosen = _Pairs(
                    places[best.predicted], self._places[best.truth], best.distances
                )
            solved[key] = chosen
            first[chosen.predicted] = True
            second[chosen.truth] = True
            distance += float(chosen.distances.sum())
        self._solved = solved
        shape = predicted.shape
        return EdgeMatch(first.reshape(shape), second.reshape(shape), distance)

    def _candidates(self, predicted: Bool[np.ndarray, "h w"]) -> _Pairs:
        """Returns all pairs of at most the distance, by predicted pixel."""
        steps = np.arange(-self._radius, self._radius + 1)
        down, right = (
            axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij")
        )
        squared = down**2 + right**2
        near = squared <= self._max_distance**2
        down, right, squared = down[near], right[near], squared[near]
        rows, columns = (at[:, None] + self._radius for at in np.nonzero(predicted))
        found = self._numbers[rows + down[None], columns + right[None]]
        pixel, offset = np.nonzero(found >= 0)
        return _Pairs(pixel, found[pixel, offset], np.sqrt(squared[offset]))


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
    return EdgeMatcher(truth, max_distance).match(predicted)


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
    return [pairs.part(index) for index in np.split(order, starts)]


def _assign(pairs: _Pairs, max_distance: float) -> _Pairs:
    """Returns the pairs of the best matching of one component."""
    from scipy.optimize import linear_sum_assignment

    if len(pairs.predicted) == 1:
        return pairs
    rows, row = np.unique(pairs.predicted, return_inverse=True)
    columns, column = np.unique(pairs.truth, return_inverse=True)
    if len(rows) == 1 or len(columns) == 1:
        nearest = int(np.argmin(pairs.distances))
        return pairs.part(slice(nearest, nearest + 1))
    # Dearer than all pairs of a matching together: the number of pairs comes first.
    lost = (min(len(rows), len(columns)) + 1) * max(max_distance, 1.0)
    costs = np.full((len(rows), len(columns)), lost)
    costs[row, column] = pairs.distances
    chosen = linear_sum_assignment(costs)
    distances = costs[chosen]
    kept = distances < lost
    return _Pairs(rows[chosen[0][kept]], columns[chosen[1][kept]], distances[kept])
