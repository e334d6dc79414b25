"""Glyphs fit their frame and are all different."""

import numpy as np

from samjax.data.synthetic.glyphs import MAX_STROKES, glyph_table


def test_strokes_lie_in_the_frame():
    table = glyph_table()
    assert table.shape[1:] == (MAX_STROKES, 4) and len(table) > 35
    assert np.abs(table[..., 0::2]).max() <= 0.6
    assert np.abs(table[..., 1::2]).max() <= 1


def test_strokes_have_length():
    table = glyph_table()
    assert (np.hypot(*(table[..., 2:] - table[..., :2]).T) > 0.4).all()


def test_no_two_glyphs_have_the_same_strokes():
    seen = {
        frozenset(frozenset([tuple(s[:2]), tuple(s[2:])]) for s in glyph.tolist())
        for glyph in glyph_table()
    }
    assert len(seen) == len(glyph_table())
