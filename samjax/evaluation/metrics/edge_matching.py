"""One-to-one matching of the pixels of two edge maps, exact and deterministic.

The benchmark of BSDS500 (Martin, Fowlkes and Malik, 2004) matches predicted to annotated
edge pixels at most `max_distance` apart: as many pairs as possible, and of these
matchings one of the least total distance. The graph of candidate pairs falls apart into
connected components, each of which is an assignment problem that scipy solves exactly.
The benchmark's own program solves one problem with random edges to outliers, and loses a
pair now and then.

Often several matchings are the best: a line beside another matches it shifted by a pixel
as well. Which one is taken decides how many predicted pixels some annotator matches. The
benchmark's program decides at random; here a drawing with a seed does, so that annotators
are independent and a second run gives the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# Largest random addition to a distance. The sum over thousands of pairs is below what
# different sums of distances differ by.
_JITTER = 1e-9

# Up to this number of places a matrix of all costs is faster than a sparse one.
_DENSE = 8000


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
    """Pairs: indices of pixels of both maps, and their costs."""

    predicted: Int[np.ndarray, " n"]
    truth: Int[np.ndarray, " n"]
    costs: Float[np.ndarray, " n"]

    def part(self, index: slice | Int[np.ndarray, " k"]) -> _Pairs:
        """Returns some of the pairs."""
        return _Pairs(self.predicted[index], self.truth[index], self.costs[index])


class EdgeMatcher:
    """An annotated edge map, to match predicted ones with.

    Components that occurred in the map before are not solved again: from one threshold
    to the next most of them stay as they are.

    Args:
        truth: The annotated edge map (h, w), Boolean.
        max_distance: Largest distance of a pair, included, in pixels.
        seed: Seed of the choice between equally good matchings.
    """

    def __init__(
        self, truth: Bool[np.ndarray, "h w"], max_distance: float, seed: int = 0
    ):
        self._max_distance = max_distance
        self._radius = int(np.floor(max_distance))
        self._places = np.flatnonzero(truth)
        steps = np.arange(-self._radius, self._radius + 1)
        squared = steps[:, None] ** 2 + steps[None] ** 2
        down, right = np.nonzero(squared <= max_distance**2)
        # Indices into a flat map that is padded by the radius on all sides.
        width = truth.shape[1] + 2 * self._radius
        rows, columns = np.nonzero(truth)
        self._near = (rows * width + columns)[:, None] + (down * width + right)[None]
        jitter = np.random.default_rng(seed).random(self._near.shape) * _JITTER
        self._costs = np.sqrt(squared[down, right]) + jitter
        self._solved: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def match(self, predicted: Bool[np.ndarray, "h w"]) -> EdgeMatch:
        """Matches the pixels of an edge map of the same size.

        Args:
            predicted: The predicted edge map, thinned.
        """
        places = np.flatnonzero(predicted)
        pairs = self._candidates(predicted, len(places))
        first, second = np.zeros((2, predicted.size), bool)
        solved = {}
        for part in _components(pairs, len(places), len(self._places)):
            # The pairs of a component are determined by its predicted pixels.
            key = places[part.predicted].tobytes()
            chosen = self._solved.get(key)
            if chosen is None:
                best = _assign(part, self._max_distance)
                chosen = places[best[0]], self._places[best[1]]
            solved[key] = chosen
            first[chosen[0]] = True
            second[chosen[1]] = True
        self._solved = solved
        shape = predicted.shape
        distance = sum(_distance(*chosen, shape[1]) for chosen in solved.values())
        return EdgeMatch(first.reshape(shape), second.reshape(shape), distance)

    def _candidates(self, predicted: Bool[np.ndarray, "h w"], count: int) -> _Pairs:
        """Returns all pairs of at most the distance, by annotated pixel."""
        numbers = np.full(predicted.shape, -1, np.int32)
        numbers[predicted] = np.arange(count)
        found = np.pad(numbers, self._radius, constant_values=-1).ravel()[self._near]
        flat = np.flatnonzero(found >= 0)
        pixel = flat // max(found.shape[1], 1)
        return _Pairs(found.ravel()[flat], pixel, self._costs.ravel()[flat])


def match_edges(
    predicted: Bool[np.ndarray, "h w"],
    truth: Bool[np.ndarray, "h w"],
    max_distance: float,
    seed: int = 0,
) -> EdgeMatch:
    """Matches the pixels of two edge maps.

    Args:
        predicted: The predicted edge map, thinned.
        truth: The annotated edge map.
        max_distance: Largest distance of a pair, included, in pixels.
        seed: Seed of the choice between equally good matchings.
    """
    return EdgeMatcher(truth, max_distance, seed).match(predicted)


def _distance(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], width: int
) -> float:
    """Returns the sum of the distances of pairs, by flat indices of their pixels."""
    down, across = (
        one - other
        for one, other in zip(
            np.divmod(first, width), np.divmod(second, width), strict=True
        )
    )
    return float(np.hypot(down, across).sum())


def _components(pairs: _Pairs, predicted: int, truth: int) -> list[_Pairs]:
    """Returns the pairs of each connected component of the candidate graph."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs.predicted):
        return []
    size = truth + predicted
    starts = np.zeros(size + 1, np.int32)
    starts[1:] = np.cumsum(np.bincount(pairs.truth, minlength=size))
    columns = pairs.predicted.astype(np.int32) + np.int32(truth)
    ones = np.ones(len(columns), np.int8)
    graph = csr_array((ones, columns, starts), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][pairs.truth]
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return [pairs.part(index) for index in np.split(order, ends)]


def _assign(
    pairs: _Pairs, max_distance: float
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Returns the predicted and true pixels of the best matching of one component."""
    first, predicted = _numbered(pairs.predicted)
    second, truth = _numbered(pairs.truth)
    if len(first) == 1 or len(second) == 1:
        nearest = pairs.costs.argmin(keepdims=True)
        return pairs.predicted[nearest], pairs.truth[nearest]
    # Dearer than all pairs of a matching together: the number of pairs comes first.
    lost = (min(len(first), len(second)) + 1) * max(max_distance, 1.0)
    is_dense = len(first) * len(second) <= _DENSE
    solve = _solve_dense if is_dense else _solve_sparse
    if len(first) <= len(second):
        row, column = solve(predicted, truth, pairs.costs, lost)
    else:
        column, row = solve(truth, predicted, pairs.costs, lost)
    return first[row], second[column]


def _numbered(
    pixels: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " n"]]:
    """Returns the different pixels in order, and for each pixel its number there."""
    is_there = np.zeros(int(pixels.max()) + 1, bool)
    is_there[pixels] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[pixels]


def _solve_dense(
    rows: Int[np.ndarray, " n"],
    columns: Int[np.ndarray, " n"],
    costs: Float[np.ndarray, " n"],
    lost: float,
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Returns rows and columns of the best matching, by a matrix of all costs."""
    from scipy.optimize import linear_sum_assignment

    matrix = np.full((int(rows.max()) + 1, int(columns.max()) + 1), lost)
    matrix[rows, columns] = costs
    row, column = linear_sum_assignment(matrix)
    is_pair = matrix[row, column] < lost
    return row[is_pair], column[is_pair]


def _solve_sparse(
    rows: Int[np.ndarray, " n"],
    columns: Int[np.ndarray, " n"],
    costs: Float[np.ndarray, " n"],
    lost: float,
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Returns rows and columns of the best matching, by a sparse matrix.

    Every row has a column of its own at the cost of a lost pair. With such columns for
    the rows alone, of which there are fewer, the solver takes milliseconds; with places
    for both sides it does not end within a minute on thousands of pixels.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    count, others = int(rows.max()) + 1, int(columns.max()) + 1
    own = np.arange(count)
    matrix = csr_array(
        (
            # 1 more for all, since the solver drops pairs that cost 0.
            np.concatenate([costs, np.full(count, lost)]) + 1,
            (np.concatenate([rows, own]), np.concatenate([columns, others + own])),
        ),
        shape=(count, others + count),
    )
    row, column = min_weight_full_bipartite_matching(matrix)
    is_pair = column < others
    return row[is_pair], column[is_pair]
