"""Glyphs (letters, digits, symbols) of at most seven straight strokes each.

A glyph is a string of strokes, each between two points of a grid of three columns and
five rows, named `a` to `o` row by row:

    a b c
    d e f
    g h i
    j k l
    m n o
"""

import numpy as np
from jaxtyping import Float

MAX_STROKES = 7

_STROKES = (
    "mb bo jl",  # A
    "am ab bf fh gh hl lm",  # B
    "cb bd dj jn no",  # C
    "am ab bf fl ln nm",  # D
    "ac ag gh gm mo",  # E
    "ac ag gh gm",  # F
    "cb bd dj jn no ol li",  # G
    "am co gi",  # H
    "bn ac mo",  # I
    "co on nj",  # J
    "am cg go",  # K
    "am mo",  # L
    "ma ah hc co",  # M
    "ma ao oc",  # N
    "bd dj jn nl lf fb",  # O
    "ma ac ci ig",  # P
    "bd dj jn nl lf fb ko",  # Q
    "ma ac ci ig ho",  # R
    "ca ag gi io om",  # S, and 5 too
    "ac bn",  # T
    "aj jn nl lc",  # U
    "an nc",  # V
    "am mh ho oc",  # W
    "ao cm",  # X
    "ah hc hn",  # Y
    "ac cm mo",  # Z
    "ac co om ma cm",  # 0
    "db bn mo",  # 1
    "ac ci ig gm mo",  # 2
    "ac co om gi",  # 3
    "ag gi co",  # 4
    "ca am mo oi ig",  # 6
    "ac cn",  # 7
    "ac co om ma gi",  # 8
    "ia ac co om",  # 9
    "gi bn",  # plus
    "gi ci ec io",  # arrow
    "gh he hf hk hl hd hj",  # asterisk
    "db be eh hf fb",  # diamond and tail
    "ab bf fi il ln nj jd",  # hook
)


def glyph_table() -> Float[np.ndarray, "glyphs strokes 4"]:
    """Returns each glyph's strokes as x0, y0, x1, y1 within [-0.6, 0.6] x [-1, 1]."""
    rows = []
    for glyph in _STROKES:
        strokes = [_point(stroke[0]) + _point(stroke[1]) for stroke in glyph.split()]
        # Padded by repeating a stroke, which does not change the union of strokes.
        strokes += [strokes[-1]] * (MAX_STROKES - len(strokes))
        rows.append(strokes)
    return np.asarray(rows, np.float32)


def _point(name: str) -> tuple[float, float]:
    row, column = divmod(ord(name) - ord("a"), 3)
    return 0.6 * (column - 1), 0.5 * (row - 2)
