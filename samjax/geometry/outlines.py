"""Outlines of masks along the edges of pixels: one closed line for each region.

`geometry.polygons` documents their use and frame. Outlines are traced with OpenCV (the
extra `eval` or `train`), holes are joined to them by bridges, and lines are simplified.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int


def trace_outlines(
    region: Bool[np.ndarray, "h w"], tolerance: float
) -> list[Int[np.ndarray, "_ 2"]]:
    """Traces the 8-connected regions of a mask, their holes bridged.

    Args:
        region: true inside; it has at least one true pixel.
        tolerance: largest distance in pixels of a line from the outline; 0 is exact.

    Returns:
        Closed lines of corners (x, y), each from its topmost corner (of several, the
        leftmost), clockwise on a screen; sorted by that corner.

    Raises:
        ImportError: OpenCV is missing.
    """
    rings, is_hole = _rings(region)
    holes_of = _attach_holes(rings, is_hole, region)
    lines: list[np.ndarray | None] = [None] * len(rings)
    # From the bottom up: a hole is attached to a ring that starts above it.
    for ring in sorted(range(len(rings)), key=lambda n: -rings[n][0, 1]):
        holes = [
            (edge, corner, lines[hole])
            for edge, corner, hole in holes_of[ring]
            if lines[hole] is not None
        ]
        lines[ring] = _line(rings[ring], holes, tolerance, is_hole[ring])
    outer = [
        line
        for line, inside in zip(lines, is_hole, strict=True)
        if line is not None and not inside
    ]
    return sorted(outer, key=lambda line: (line[0, 1], line[0, 0]))


def _rings(
    region: Bool[np.ndarray, "h w"],
) -> tuple[list[np.ndarray], list[bool]]:
    """Returns the outlines of a region along pixel edges, and which are of holes."""
    cv2 = _opencv()
    # With every pixel doubled, a contour through centres visits a separate pixel for
    # each corner of the outline: even coordinates are before an edge, odd ones after it.
    doubled = cv2.resize(
        region.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST
    )
    contours, hierarchy = cv2.findContours(
        doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    is_hole = [bool(parent >= 0) for parent in hierarchy[0, :, 3]]
    rings = []
    for contour, inside in zip(contours, is_hole, strict=True):
        ring = _without_repeats((contour[:, 0].astype(np.int64) + 1) // 2)
        # Outer lines clockwise on the screen, holes counterclockwise: with bridges, the
        # winding number is then 1 inside.
        if (_doubled_area(ring) > 0) == inside:
            ring = ring[::-1]
        first = int(np.lexsort((ring[:, 0], ring[:, 1]))[0])
        rings.append(np.roll(ring, -first, axis=0))
    return rings, is_hole


def _attach_holes(
    rings: list[np.ndarray], is_hole: list[bool], region: Bool[np.ndarray, "h w"]
) -> list[list[tuple[int, np.ndarray, int]]]:
    """Computes the end of every hole's bridge.

    A bridge runs from the first corner of a hole upwards along the column of pixels
    right of it, through the region, to the edge where that column enters the region.

    Returns:
        For every ring the holes that are attached to it, in order along the ring: index
        of the edge, corner on it, index of the hole.
    """
    attached: list[list[tuple[int, np.ndarray, int]]] = [[] for _ in rings]
    holes = np.flatnonzero(is_hole)
    if not holes.size:
        return attached
    height, width = region.shape
    x, y = np.stack([rings[hole][0] for hole in holes]).T
    pixels = np.pad(region.T.reshape(-1), (1, 0))
    run_starts = np.flatnonzero(pixels[1:] & ~pixels[:-1])
    runs = np.searchsorted(run_starts, x * height + y - 1, side="right") - 1
    # A run may have started in the column before.
    top = np.maximum(run_starts[runs] - x * height, 0)

    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    lengths = np.array([len(ring) for ring in rings])
    ring_of = np.repeat(np.arange(len(rings)), lengths)
    index_in_ring = np.arange(len(starts)) - np.repeat(
        np.cumsum(lengths) - lengths, lengths
    )
    level = np.flatnonzero(starts[:, 1] == ends[:, 1])
    key = starts[level, 1] * width + np.minimum(starts[level, 0], ends[level, 0])
    order = np.argsort(key)
    edges = level[order[np.searchsorted(key[order], top * width + x, side="right") - 1]]
    corners = np.stack([x, top], axis=1)
    along = np.abs(corners[:, 0] - starts[edges, 0])
    for i in np.lexsort((along, index_in_ring[edges])):
        edge = edges[i]
        attached[ring_of[edge]].append(
            (int(index_in_ring[edge]), corners[i], int(holes[i]))
        )
    return attached


def _line(
    ring: np.ndarray,
    holes: list[tuple[int, np.ndarray, Any]],
    tolerance: float,
    is_hole: bool,
) -> np.ndarray | None:
    """Inserts the lines of holes into a ring, and simplifies the stretches between.

    Returns:
        The line; None for a hole without holes of its own that has no area left.
    """
    edges = [edge + 1 for edge, _, _ in holes]
    corners = np.insert(ring, edges, [corner for _, corner, _ in holes] or 0, axis=0)
    pins = {edge + i: line for i, (edge, (*_, line)) in enumerate(zip(edges, holes))}
    bounds = sorted({0, *pins})
    if len(bounds) == 1:
        bounds.append(int(np.square(corners - corners[0]).sum(axis=1).argmax()))
    closed = np.append(corners, corners[:1], axis=0)
    spans = list(zip(bounds, [*bounds[1:], len(corners)]))
    pieces = [corners[start:stop] for start, stop in spans]
    if tolerance > 0:
        simple = [_simplified(closed[a : b + 1], tolerance)[:-1] for a, b in spans]
        area = _doubled_area(np.concatenate(simple))
        if area and (area > 0) != is_hole:
            pieces = simple
        elif is_hole and not holes:
            return None
    parts = []
    for start, piece in zip(bounds, pieces):
        if start in pins:
            parts += [corners[start : start + 1], pins[start], pins[start][:1]]
        parts.append(piece)
    line = np.concatenate(parts)
    return line[np.any(line != np.roll(line, 1, axis=0), axis=1)]


def _simplified(chain: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns an open line with fewer corners, and the same ends."""
    if len(chain) < 3 or np.array_equal(chain[0], chain[-1]):
        return chain
    line = chain.astype(np.int32)[:, None]
    return _opencv().approxPolyDP(line, tolerance, False)[:, 0].astype(np.int64)


def _without_repeats(ring: np.ndarray) -> np.ndarray:
    """Removes corners that repeat the one before, or are on a straight line."""
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
    ahead, behind = np.roll(ring, -1, axis=0) - ring, ring - np.roll(ring, 1, axis=0)
    return ring[ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]]


def _doubled_area(ring: np.ndarray) -> int:
    """Returns twice the signed area of a ring, positive if clockwise on the screen."""
    ahead = np.roll(ring, -1, axis=0)
    return int((ring[:, 0] * ahead[:, 1] - ahead[:, 0] * ring[:, 1]).sum())


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "tracing the outlines of masks needs OpenCV: run pip install 'samjax[eval]'"
        ) from error
    return cv2
