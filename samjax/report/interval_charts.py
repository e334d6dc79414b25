"""Charts of differences with their intervals around zero, as inline SVG.

The page's style sheet sets the colours, as for histograms.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Size and margins of the drawing in units of its view box: about a pixel on the screen.
_WIDTH, _ROW, _TOP, _BOTTOM = 460, 24, 12, 50
_LEFT, _RIGHT = 130, _WIDTH - 20
_LONGEST = 18
"""Characters of a label that fit beside the chart."""


class Interval(NamedTuple):
    """A row of a chart.

    Attributes:
        label: Its name.
        value: The difference.
        low: The lower end of its interval.
        high: The upper end.
    """

    label: str
    value: float
    low: float
    high: float


def interval_chart(rows: Sequence[Interval], across: str) -> str:
    """Draws differences as dots on lines from end to end of their intervals.

    Args:
        rows: The differences, from the top.
        across: Label of the horizontal axis.
    """
    reach = max((abs(end) for row in rows for end in row[1:]), default=0.0) or 1.0
    bottom = _TOP + _ROW * max(len(rows), 1)
    middle = (_LEFT + _RIGHT) / 2

    def x(value: float) -> float:
        return middle + (_RIGHT - _LEFT) / 2 * value / reach

    parts = [_axis(x, reach, bottom)]
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        label = row.label
        if len(label) > _LONGEST:
            label = f"{label[: _LONGEST - 1]}…"
        parts.append(
            f'<g class="first"><path class="line" d="M{x(row.low):.1f} {y:.1f}'
            f'H{x(row.high):.1f}"/><circle class="dot" cx="{x(row.value):.1f}" '
            f'cy="{y:.1f}" r="4"><title>{html.escape(row.label)}: {row.value:+.3f}, '
            f"{row.low:+.3f} to {row.high:+.3f}</title></circle></g>"
            f'<text x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">'
            f"{html.escape(label)}</text>"
        )
    height, label = bottom + _BOTTOM, html.escape(across)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'role="img" aria-label="{label}">{"".join(parts)}<text x="{middle:g}" '
        f'y="{height - 8}" text-anchor="middle">{label}</text></svg>'
    )


def _axis(x: Callable[[float], float], reach: float, bottom: int) -> str:
    """Returns the lines of both ends and of zero, with their numbers."""
    return "".join(
        f'<path class="{"grid" if value else "axis"}" d="M{x(value):.1f} {_TOP}'
        f'V{bottom}"/><text x="{x(value):.1f}" y="{bottom + 20}" '
        f'text-anchor="middle">{f"{value:+.3g}" if value else "0"}</text>'
        for value in (-reach, 0.0, reach)
    )
