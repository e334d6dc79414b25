"""Charts of lines between 0 and 1 on both axes, as inline SVG.

The page's style sheet sets the colours, as for histograms.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

# Size and margins of the drawing in units of its view box: about a pixel on the screen.
_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, _WIDTH - 20, 12, _HEIGHT - 50


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        points: (x, y) in their order, each from 0 to 1.
        is_reference: Whether it is drawn dashed and without dots, to compare with.
    """

    points: Sequence[tuple[float, float]]
    is_reference: bool = False


def line_chart(lines: Sequence[Line], across: str, up: str) -> str:
    """Draws lines as an SVG element; a tooltip of every point has its numbers.

    Args:
        lines: The lines.
        across: Label of the horizontal axis.
        up: Label of the vertical axis.
    """
    parts = [_grid()]
    for line in lines:
        path = "L".join(f"{_x(x):.1f} {_y(y):.1f}" for x, y in line.points)
        kind = "second" if line.is_reference else "first"
        drawn = f'<path class="line" d="M{path}"/>' if path else ""
        if not line.is_reference:
            drawn += "".join(
                f'<circle class="dot" cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="2.5">'
                f"<title>{x:.3f}, {y:.3f}</title></circle>"
                for x, y in line.points
            )
        parts.append(f'<g class="{kind}">{drawn}</g>')
    across, up = html.escape(across), html.escape(up)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img" aria-label="{up} by {across}">{"".join(parts)}'
        f'<text x="{(_LEFT + _RIGHT) / 2:g}" y="{_HEIGHT - 8}" '
        f'text-anchor="middle">{across}</text>'
        f'<text transform="translate(15 {(_TOP + _BOTTOM) / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{up}</text></svg>'
    )


def _x(value: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * value


def _y(value: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * value


def _grid() -> str:
    parts = []
    for step in range(6):
        value = step / 5
        x, y = _x(value), _y(value)
        kind = "grid" if step else "axis"
        parts.append(
            f'<path class="{kind}" d="M{_LEFT} {y:.1f}H{_RIGHT}M{x:.1f} {_TOP}V{_BOTTOM}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>'
            f'<text x="{x:.1f}" y="{_BOTTOM + 20}" text-anchor="middle">{value:.1f}'
            "</text>"
        )
    return "".join(parts)
