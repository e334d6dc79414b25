"""Histograms of streamed numbers, as inline SVG.

The page's style sheet sets the colours: the SVG only has the classes `bin`, `bar`,
`hit`, `grid` and `axis`.
"""

from __future__ import annotations

import collections
import html
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Real

MOST_BINS = 30
FEWEST_BINS = 10

# Size and margins of the drawing in units of its view box: about a pixel on the screen.
WIDTH, HEIGHT = 460, 220
LEFT, RIGHT, TOP, BOTTOM = 64, WIDTH - 20, 12, HEIGHT - 50


class Tally:
    """Counts of numbers in narrow cells, from which a histogram can be drawn later.

    Memory grows with the number of distinct cells, not with the count of numbers.
    """

    def __init__(self, *, whole_numbers: bool = False):
        """Creates an empty tally.

        Args:
            whole_numbers: Whether to count integers, one per cell. Otherwise numbers
                between about 0 and 1, in half-open cells of 1/10000 that include their
                lower end; 1 itself is counted in the cell below it.
        """
        self.whole_numbers = whole_numbers
        self.cells_per_unit = 1 if whole_numbers else 10_000
        self.cells: collections.Counter[int] = collections.Counter()

    def add(self, numbers: Real[np.ndarray, " n"]) -> None:
        """Adds numbers.

        Raises:
            ValueError: A number is not finite.
        """
        numbers = numbers.astype(np.float64)
        with np.errstate(over="ignore"):
            # The float32 nearest to 0.95 is below 0.95, but belongs to the cell there.
            cells = np.floor(numbers * self.cells_per_unit + 1e-3)
        if not np.isfinite(cells).all():
            invalid = numbers[~np.isfinite(cells)][0]
            raise ValueError(f"got {invalid} to count, expected finite numbers")
        if not self.whole_numbers:
            cells[(cells == self.cells_per_unit) & (numbers <= 1.0)] -= 1
        values, counts = np.unique(cells, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self.cells[int(value)] += count

    @property
    def total(self) -> int:
        """Number of numbers counted."""
        return self.cells.total()

    @property
    def median(self) -> float:
        """The (lower) median, to within a cell; 0 if there are no numbers."""
        remaining = (self.total + 1) // 2
        for cell in sorted(self.cells):
            remaining -= self.cells[cell]
            if remaining <= 0:
                return cell / self.cells_per_unit
        return 0.0


def histogram(tally: Tally, *, label: str, counted: tuple[str, str]) -> str:
    """Draws a tally as an SVG element.

    Bins have a round width and cover the range of the numbers, with empty bins around a
    narrow range. A tooltip shows the ends and the count of each bin.

    Args:
        tally: The numbers.
        label: Label of the horizontal axis.
        counted: The unit of the vertical axis, singular and plural: ("mask", "masks").
    """
    if not tally.total:
        return _empty_chart(label, counted)
    step, start, stop = _bins(tally)
    counts: collections.Counter[int] = collections.Counter()
    for cell, count in tally.cells.items():
        counts[cell // step] += count
    # Positions are relative to the first bin: exact, at any distance from 0. A bin of
    # integers extends half a unit to both sides, so that a bar is centred on its
    # number.
    origin, shift = start * step, 0.5 if tally.whole_numbers else 0.0
    bars = []
    for index in range(start, stop):
        left = index * step - origin
        name = _bin_name(index * step, step, tally)
        bars.append(_Bar(left - shift, left + step - shift, counts[index], name))
    last = stop * step - (1 if tally.whole_numbers else 0)
    spacing = _round_up((last - origin) / 6, at_least=step)
    while spacing % step:
        spacing = _round_up(0.0, at_least=spacing + 1)
    decimals = _decimals(spacing, tally.cells_per_unit)
    ticks = {
        float(cell - origin): f"{cell / tally.cells_per_unit:,.{decimals}f}"
        for cell in range(-(-origin // spacing) * spacing, last + 1, spacing)
    }
    return _chart(bars, ticks, label, counted)


def how_many(count: int, names: tuple[str, str]) -> str:
    """Returns a count with its noun: 1 mask, 1,200 masks."""
    return f"{count:,} {names[count != 1]}"


class _Bar(NamedTuple):
    left: float
    right: float
    count: int
    name: str


def _bins(tally: Tally) -> tuple[int, int, int]:
    """Returns the width of bins in cells, the index of the first and one after the last."""
    low, high = min(tally.cells), max(tally.cells)
    step = _round_up(
        (high - low) / MOST_BINS, at_least=1 if tally.whole_numbers else 50
    )
    # Ends that are not on the edges of bins need one bin more.
    while high // step - low // step >= MOST_BINS:
        step = _round_up(0.0, at_least=step + 1)
    start, stop = low // step, high // step + 1
    room = max(0, FEWEST_BINS - (stop - start))
    # Empty bins are not added for impossible values: negative ones, fractions above 1.
    first = start - room // 2
    if not tally.whole_numbers and stop * step <= tally.cells_per_unit:
        first = min(first, tally.cells_per_unit // step - FEWEST_BINS)
    if low >= 0:
        first = max(first, 0)
    if room:
        start, stop = first, first + FEWEST_BINS
    return step, start, stop


def _bin_name(cell: int, step: int, tally: Tally) -> str:
    if tally.whole_numbers:
        return f"{cell:,}" if step == 1 else f"{cell:,} to {cell + step - 1:,}"
    decimals = _decimals(step, tally.cells_per_unit)
    low, high = cell / tally.cells_per_unit, (cell + step) / tally.cells_per_unit
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def _round_up(number: float, *, at_least: int) -> int:
    """Returns the smallest of 1, 2, 5, 10, 20, 50, ... that is at least the number."""
    number = max(number, at_least)
    power = 10 ** int(math.log10(number))
    return next(
        factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= number
    )


def _decimals(step: int, per_unit: int) -> int:
    """Returns the number of decimals that a multiple of step / per_unit needs."""
    decimals = 0
    while step * 10**decimals % per_unit:
        decimals += 1
    return decimals


def _chart(
    bars: Sequence[_Bar],
    ticks: Mapping[float, str],
    label: str,
    counted: tuple[str, str],
) -> str:
    low, high = bars[0].left, bars[-1].right
    highest = max(bar.count for bar in bars)
    spacing = _round_up(highest / 4, at_least=1)
    top = -(-highest // spacing) * spacing

    def across(x: float) -> float:
        return LEFT + (RIGHT - LEFT) * (x - low) / (high - low)

    def up(count: int) -> float:
        return BOTTOM - (BOTTOM - TOP) * count / top

    parts = []
    for count in range(0, top + 1, spacing):
        y = up(count)
        kind = "grid" if count else "axis"
        parts.append(
            f'<path class="{kind}" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{_short(count, spacing)}</text>"
        )
    for bar in bars:
        left, right = across(bar.left), across(bar.right)
        # The whole column is the pointer's target: a low bar is hard to hit.
        parts.append(
            f'<g class="bin"><title>{html.escape(bar.name)}: '
            f"{how_many(bar.count, counted)}</title>"
            f'<rect class="hit" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
            f'height="{BOTTOM - TOP}"/>'
        )
        if bar.count:
            height = max(1.5, BOTTOM - up(bar.count))
            parts.append(
                f'<rect class="bar" x="{left + 0.5:.1f}" y="{BOTTOM - height:.1f}" '
                f'width="{right - left - 1:.1f}" height="{height:.1f}"/>'
            )
        parts.append("</g>")
    for x, text in ticks.items():
        parts.append(
            f'<text x="{across(x):.1f}" y="{BOTTOM + 20}" text-anchor="middle">'
            f"{html.escape(text)}</text>"
        )
    return _svg("".join(parts), label, counted)


def _empty_chart(label: str, counted: tuple[str, str]) -> str:
    middle = f'x="{(LEFT + RIGHT) / 2:g}" y="{(TOP + BOTTOM) / 2:g}"'
    drawing = (
        f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'
        f'<text {middle} text-anchor="middle">no {counted[1]}</text>'
    )
    return _svg(drawing, label, counted)


def _svg(drawing: str, label: str, counted: tuple[str, str]) -> str:
    label = html.escape(label)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{counted[1]} by {label}">{drawing}'
        f'<text x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{label}</text>'
        f'<text transform="translate(15 {(TOP + BOTTOM) / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{counted[1]}</text></svg>'
    )


def _short(count: int, spacing: int) -> str:
    """Formats a number of the vertical axis within the margin."""
    for unit, letter in ((10**6, "M"), (1000, "k")):
        if spacing >= unit:
            return f"{count // unit:,}{letter}" if count else "0"
    return f"{count:,}"
