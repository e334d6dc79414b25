"""Thinning of binary edge maps to lines of one pixel.

The algorithm of Guo and Hall (1989, their A1; in the form of Lam, Lee and Suen, 1992),
which MATLAB's `bwmorph(edges, "thin", Inf)` and scikit-image's `thin` implement: two
sub-iterations, each a table of the 256 neighbourhoods whose pixel is deleted, in turn
until a whole iteration deletes nothing.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Bool

# (row, column) of the neighbours x1 to x8: E, NE, N, NW, W, SW, S, SE.
_NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def thin(edges: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns an edge map thinned to lines of one pixel; pixels outside count as empty.

    Args:
        edges: The edge map.
    """
    padded = np.pad(edges.astype(np.uint8), 1)
    inner = padded[1:-1, 1:-1]
    height, width = edges.shape
    changed = True
    while changed:
        changed = False
        for deleted in _tables():
            # Only set pixels are looked up, which are few.
            rows, columns = np.nonzero(inner)
            codes = np.zeros(len(rows), np.uint8)
            for bit, (down, right) in enumerate(_NEIGHBOURS):
                neighbours = padded[rows + 1 + down, columns + 1 + right]
                codes |= neighbours << np.uint8(bit)
            gone = deleted[codes]
            inner[rows[gone], columns[gone]] = 0
            changed |= bool(gone.any())
    return inner.astype(bool).reshape(height, width)


@functools.cache
def _tables() -> tuple[Bool[np.ndarray, " 256"], Bool[np.ndarray, " 256"]]:
    """Returns for both sub-iterations which neighbourhoods have their pixel deleted."""
    codes = np.arange(256)
    x1, x2, x3, x4, x5, x6, x7, x8 = ((codes >> bit) & 1 == 1 for bit in range(8))
    crossings = (
        (~x1 & (x2 | x3)).astype(int)
        + (~x3 & (x4 | x5))
        + (~x5 & (x6 | x7))
        + (~x7 & (x8 | x1))
    )
    ahead = (x1 | x2).astype(int) + (x3 | x4) + (x5 | x6) + (x7 | x8)
    behind = (x2 | x3).astype(int) + (x4 | x5) + (x6 | x7) + (x8 | x1)
    least = np.minimum(ahead, behind)
    both = (crossings == 1) & (least >= 2) & (least <= 3)
    return both & ~((x2 | x3 | ~x8) & x1), both & ~((x6 | x7 | ~x4) & x5)
