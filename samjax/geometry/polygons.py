"""Masks as polygons and back, pixel for pixel.

A polygon is one closed line of corners (x, y) in the frame of COCO's and YOLO's files:
pixel (x, y) covers the square from (x, y) to (x + 1, y + 1), so the frame's origin is
the corner of the first pixel, half a pixel up and left of the origin of points. The
last corner is joined to the first and is not repeated.

`mask_to_polygons` follows the edges of pixels, and not their centres as OpenCV's own
contours do: a line through centres loses half a pixel all round, and a thin object all
of its area. All corners are whole numbers, and the areas of the polygons add up to the
number of pixels. pycocotools' rasteriser and the one here give the mask back exactly.

These formats have no holes; their readers unite the polygons of a mask. So a hole is
joined to the line above it by a vertical bridge, which the polygon traverses twice, once
in each direction, so that it encloses no area. The even-odd rule and the non-zero rule
both fill a polygon correctly. Geometry libraries that require simple polygons (shapely)
reject it, as they do one whose parts touch at a corner; their repair (`make_valid`)
restores the hole. Tools that draw outlines as pixels draw the bridges too.

Tracing needs OpenCV (the extra `eval` or `train`); filling does not.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from samjax.geometry.masks import counts_to_mask, unite_counts
from samjax.geometry.outlines import trace_outlines

# Bound of corners: larger ones are of no image, and would overflow in fifths of pixels.
_FARTHEST = float(2**26)

# Columns that all edges of a mask may cross: bounds the work that a small file causes.
_MOST_CROSSINGS = 1 << 22

# Crossings that are computed in one part: bounds the memory of the rasteriser.
_CROSSINGS_AT_ONCE = 1 << 18

# Corners that are candidates for the end of a bridge: bounds the time of joining.
_CORNERS_SEARCHED = 1 << 13


def mask_to_polygons(
    mask: Bool[np.ndarray, "h w"], *, tolerance: float = 0.0
) -> list[Float[np.ndarray, "_ 2"]]:
    """Traces the outlines of a mask: a polygon for each of its 8-connected regions.

    Args:
        mask: true on the object; an empty one has no polygons.
        tolerance: largest distance in pixels of the line from the outline, for fewer
            corners (Douglas and Peucker); 0 keeps every corner. Holes that vanish at
            this tolerance are filled; regions that would vanish stay exact. A
            simplified line may cross itself.

    Returns:
        Closed lines (n, 2) of whole numbers, in the frame of this module, each from its
        topmost corner (of several, the leftmost), clockwise on a screen; sorted by that
        corner.

    Raises:
        ValueError: the tolerance is negative or not a number.
        ImportError: OpenCV is missing.
    """
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"got {tolerance=}, expected pixels from 0 up")
    columns = np.flatnonzero(mask.any(axis=0))
    if not columns.size:
        return []
    rows = np.flatnonzero(mask.any(axis=1))
    region = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    origin = np.array([columns[0], rows[0]])
    return [
        (line + origin).astype(np.float64) for line in trace_outlines(region, tolerance)
    ]


def polygons_to_mask(
    polygons: Sequence[Real[np.ndarray, "_ 2"]], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Fills polygons by pycocotools' rule, to the same pixels.

    Corners are rounded to fifths of a pixel; a pixel is inside where a line down the
    middle of its column has crossed the outline an odd number of times above it, edges
    again being rounded to fifths. So outlines along the edges of pixels are exact, and
    others have an error of up to a fifth of a pixel. The union of the polygons is
    filled.

    Args:
        polygons: closed lines, in the frame of this module; clipped to the image.
        size: (h, w) of the image.

    Raises:
        ValueError: a polygon has fewer than three corners, or one that is not finite or
            millions of pixels away.
    """
    return counts_to_mask(polygons_to_counts(polygons, size), size)


def polygons_to_counts(
    polygons: Sequence[Real[np.ndarray, "_ 2"]], size: tuple[int, int]
) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of the mask of `polygons_to_mask`.

    Memory holds the positions where the mask changes, and never its pixels: a large
    claimed size takes no memory.

    Raises:
        ValueError: as `polygons_to_mask`, or the outlines cross millions of columns.
    """
    height, width = size
    for polygon in polygons:
        _check(polygon)
    # pycocotools' rounding, which is towards zero.
    rings = [
        (5 * polygon.astype(np.float64) + 0.5).astype(np.int64) for polygon in polygons
    ]
    crossings = sum(int(_columns_crossed(ring, width).sum()) for ring in rings)
    if crossings > _MOST_CROSSINGS:
        raise ValueError(
            f"got polygons that cross {crossings} columns of pixels, expected at most "
            f"{_MOST_CROSSINGS}: simplify them, or store the mask as run lengths"
        )
    return unite_counts(
        [_filled(ring, height, width) for ring in rings], height * width
    )


def join_polygons(
    polygons: Sequence[Real[np.ndarray, "_ 2"]],
) -> Float[np.ndarray, "n 2"]:
    """Joins the polygons of a mask to one closed line, for formats that have only one.

    Each polygon is joined by a straight bridge from its first corner to the nearest
    corner of those joined before (of the latest thousands, if there are more). Filled by
    the even-odd rule, the line gives the union of the polygons, if they do not overlap.

    Raises:
        ValueError: there are no polygons.
    """
    if not polygons:
        raise ValueError("got no polygons to join, expected at least one")
    corners = np.concatenate(polygons).astype(np.float64)
    ends = np.cumsum([len(polygon) for polygon in polygons]).tolist()
    # A linked list, since there may be thousands of polygons: node i is corner
    # `nodes[i]`, and node `following[i]` is next.
    nodes = list(range(len(corners)))
    following = list(range(1, len(corners) + 1))
    following[ends[0] - 1] = -1
    for start, end in itertools.pairwise(ends):
        first = max(0, start - _CORNERS_SEARCHED)
        distances = np.square(corners[first:start] - corners[start]).sum(axis=1)
        near = first + int(distances.argmin())
        # Over the bridge, round the polygon, to its first corner again, and back.
        following[end - 1] = len(nodes)
        following += [len(nodes) + 1, following[near]]
        nodes += [start, near]
        following[near] = start
    line, node = [], 0
    while node >= 0:
        line.append(nodes[node])
        node = following[node]
    return corners[line]


def _columns_crossed(ring: Int[np.ndarray, "n 2"], width: int) -> Int[np.ndarray, " n"]:
    """Returns how many columns of an image each edge crosses."""
    columns = np.clip((ring[:, 0] + 2) // 5, 0, width)
    return np.abs(np.roll(columns, -1) - columns)


def _filled(
    ring: Int[np.ndarray, "n 2"], height: int, width: int
) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of the area within a ring, from its column crossings.

    Two crossings at one position cancel. So do the end of a run at the bottom of a
    column and the start of one at the top of the next, which have one position: the run
    continues.
    """
    ends = np.roll(ring, -1, axis=0)
    positions = [np.zeros(0, np.int64)]
    for part in _parts(_columns_crossed(ring, width)):
        columns, rows = _crossings(ring[part], ends[part], 0, width)
        positions.append(columns * height + np.clip(rows, 0, height))
    crossed, times = np.unique(np.concatenate(positions), return_counts=True)
    changes = crossed[times % 2 == 1]
    return np.diff(changes, prepend=0, append=height * width)


def _parts(columns: Int[np.ndarray, " n"]) -> list[slice]:
    """Divides edges into parts that cross about `_CROSSINGS_AT_ONCE` columns each."""
    total = np.cumsum(columns)
    if not total.size or total[-1] <= _CROSSINGS_AT_ONCE:
        return [slice(None)]
    marks = np.arange(_CROSSINGS_AT_ONCE, total[-1], _CROSSINGS_AT_ONCE)
    cuts = [0, *np.unique(np.searchsorted(total, marks, side="right")), len(total)]
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]


def _crossings(
    starts: Int[np.ndarray, "n 2"], ends: Int[np.ndarray, "n 2"], left: int, right: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Returns where edges cross the middles of the columns in [`left`, `right`).

    pycocotools steps along an edge in fifths of a pixel, by one fifth of its longer
    side, the other side rounded; between the fifths 5 c + 2 and 5 c + 3 it crosses
    column c, at the smaller y of the two steps. Only these steps are computed here.

    Args:
        starts: (x, y) of the edges in fifths of a pixel.
        ends: the other ends of the edges.

    Returns:
        The column of every crossing, and the first row below it.
    """
    sides = np.abs(ends - starts)
    is_flat = sides[:, 0] >= sides[:, 1]
    longer = np.where(is_flat, 0, 1)
    index = np.arange(len(starts))
    turned = (starts[index, longer] > ends[index, longer])[:, None]
    starts, ends = np.where(turned, ends, starts), np.where(turned, starts, ends)
    first = np.clip((np.minimum(starts, ends)[:, 0] + 2) // 5, left, right)
    stop = np.clip((np.maximum(starts, ends)[:, 0] + 2) // 5, first, right)
    count = stop - first
    edge = np.repeat(index, count)
    column = np.arange(len(edge)) + np.repeat(first - np.cumsum(count) + count, count)
    x, y = starts[edge].T
    across, down = (ends - starts)[edge].T.astype(np.float64)
    row = np.empty(len(edge), np.int64)
    flat = is_flat[edge]
    row[flat] = _y_of_flat(
        (5 * column + 2 - x)[flat], y[flat], down[flat] / across[flat]
    )
    steep = ~flat
    row[steep] = y[steep] + _step_of_steep(
        5 * column[steep] + 2, x[steep], across[steep] / down[steep]
    )
    return column, (row + 2) // 5


def _y_of_flat(step: np.ndarray, y: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Returns the smaller y of a step along x and the next."""
    here, there = y + slope * step + 0.5, y + slope * (step + 1) + 0.5
    return np.minimum(here, there).astype(np.int64)


def _step_of_steep(fifth: np.ndarray, x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Returns the last step down before x crosses from `fifth` to the next."""

    def has_crossed(step: np.ndarray) -> np.ndarray:
        return ((x + slope * step + 0.5).astype(np.int64) > fifth) == (slope > 0)

    step = np.ceil((fifth + 0.5 - x) / slope)
    # Rounding of the quotient may be off by one step.
    step -= has_crossed(step - 1)
    step += ~has_crossed(step)
    return step.astype(np.int64) - 1


def _check(polygon: np.ndarray) -> None:
    if len(polygon) < 3:
        raise ValueError(
            f"got a polygon of {len(polygon)} corners, expected at least three"
        )
    # Not `(abs > farthest).any()`, which is False for NaN.
    if not (np.abs(polygon) < _FARTHEST).all():
        raise ValueError(
            f"got a polygon with the corner {polygon[np.abs(polygon).argmax() // 2]}, "
            "expected finite pixels in or near the image: the file is damaged, or its "
            "coordinates are of another unit"
        )
