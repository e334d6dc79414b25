"""SVG files of plots, with the style that the page of a report has in its sheet."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from samjax.evaluation.result import Result
from samjax.files import write_output

PLOTS = "plots"
"""The field of a dataset's details with SVG files by name."""

_MARK = "<!-- samjax evaluation -->"

_STYLE = (
    "svg{background:#fff}text{fill:#62686f;font:12px sans-serif}"
    ".grid{stroke:#e2e3e4;fill:none}.axis{stroke:#62686f;fill:none}"
    ".bar,.cell{fill:#4a7bab}.hit{fill:transparent}"
)

_SIDE, _MARGIN = 320, 40


def standalone(svg: str) -> str:
    """Returns an SVG element as a file of its own, with colours.

    Args:
        svg: The element, with the classes of `samjax.report.histograms`.
    """
    head, closing, rest = svg.partition(">")
    return f"{_MARK}{head}{closing}<style>{_STYLE}</style>{rest}\n"


def write_plots(result: Result, beside: Path) -> list[Path]:
    """Writes the plots of all sets of a result.

    Args:
        result: The result.
        beside: Its file; a plot is in the same folder, named by the set and the plot.

    Raises:
        WouldReplace: A file has the name of a plot, and samjax did not write it.
        OSError: They cannot be written.
    """
    written = []
    for of_set in result.sets:
        plots = of_set.details.get(PLOTS)
        for name, svg in plots.items() if isinstance(plots, dict) else ():
            plain = re.sub(r"[^A-Za-z0-9.]+", "_", of_set.name)
            path = beside.with_name(f"{plain}_{name}.svg")
            written.append(write_output(path, svg.encode(), "evaluation"))
    return written


def density_map(shares: Float[np.ndarray, "r c"], label: str) -> str:
    """Draws shares as a map of cells, the largest the darkest, as an SVG element.

    Args:
        shares: Share of each cell, row by row from the top.
        label: Its title.
    """
    rows, columns = shares.shape
    high = float(shares.max()) or 1.0
    wide, tall = _SIDE / columns, _SIDE / rows
    cells = [
        f'<rect class="cell" x="{_MARGIN + column * wide:.1f}" '
        f'y="{_MARGIN + row * tall:.1f}" width="{wide:.1f}" height="{tall:.1f}" '
        f'fill-opacity="{shares[row, column] / high:.3f}"><title>'
        f"{shares[row, column]:.2%}</title></rect>"
        for row, column in np.argwhere(shares > 0)
    ]
    size = _SIDE + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" '
        f'role="img" aria-label="{html.escape(label)}">{"".join(cells)}'
        f'<rect class="axis" x="{_MARGIN}" y="{_MARGIN}" width="{_SIDE}" '
        f'height="{_SIDE}"/><text x="{size / 2:g}" y="{size - 14}" '
        f'text-anchor="middle">{html.escape(label)}; at most {high:.2%} a cell</text>'
        "</svg>"
    )
