"""Plots training runs: their losses, and their scores on held-out data.

    python tools/training_curve.py runs/cells runs/adapters --out curve.svg

Each run is a folder with the `metrics.jsonl` of a training run. The left chart has the
loss, a running mean over a fiftieth of the steps; the right one the `--score` of every
evaluation, starting with `--before` at step 0 if the runs share their initial weights.
"""

import argparse
import html
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samjax.files import replacing

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 40
# A palette for colour-blind readers (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        name: Name in the legend.
        steps: Steps of the points.
        values: Values of the points.
    """

    name: str
    steps: Sequence[float]
    values: Sequence[float]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--out", type=Path, required=True, help="an SVG file")
    parser.add_argument("--score", default="held_out/click_1", help="which score")
    parser.add_argument("--before", type=float, help="that score at step 0")
    parser.add_argument("--names", nargs="+", help="names of the runs, for the legend")
    options = parser.parse_args()
    names = options.names or [run.name for run in options.runs]
    try:
        if len(names) != len(options.runs):
            raise ValueError(f"got {len(names)} names for {len(options.runs)} runs")
        logs = [read_log(run / "metrics.jsonl") for run in options.runs]
        losses = [
            smooth(line_of(name, log, "loss"))
            for name, log in zip(names, logs, strict=True)
        ]
        scores = [
            line_of(name, log, options.score)
            for name, log in zip(names, logs, strict=True)
        ]
        if options.before is not None:
            scores = [
                Line(name, [0, *steps], [options.before, *values])
                for name, steps, values in scores
            ]
        charts = [("loss", losses), (options.score, scores)]
        with replacing(options.out) as hidden:
            hidden.write_text(draw(charts))
    except (OSError, ValueError) as error:
        print(f"training_curve: {error}", file=sys.stderr)
        return 2
    print(options.out)
    return 0


def read_log(path: Path) -> list[dict[str, float]]:
    """Reads the metrics of a run, a dictionary per line.

    Raises:
        OSError: There is no such file.
        ValueError: A line is not in the format of training.
    """
    lines = []
    for line_number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            metrics = json.loads(line)
            metrics["step"] = int(metrics["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}:{line_number} is no line of metrics: {error}"
            ) from error
        lines.append(metrics)
    return lines


def line_of(name: str, log: Sequence[dict[str, float]], metric: str) -> Line:
    """Returns the line of one metric of a run.

    Raises:
        ValueError: The run does not have the metric.
    """
    # Of a step that was logged twice, as after a resume, the later line counts.
    points = {line["step"]: line[metric] for line in log if metric in line}
    if not points:
        known = sorted({key for line in log for key in line} - {"step"})
        raise ValueError(f"{name} has no {metric}, only: {', '.join(known)}")
    steps = sorted(points)
    return Line(name, steps, [points[step] for step in steps])


def smooth(line: Line) -> Line:
    """Returns the trailing running mean over a fiftieth of the points."""
    window = max(len(line.values) // 50, 1)
    sums = np.cumsum(np.concatenate([[0.0], line.values]))
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    return line._replace(values=list((sums[ends] - sums[starts]) / (ends - starts)))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns about `about` round numbers between two."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    unit = 10 ** math.floor(math.log10(raw))
    step = unit * min((1, 2, 5, 10), key=lambda times: abs(times * unit - raw))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def draw(charts: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Draws charts side by side, with legends."""
    parts = [chart(name, lines, WIDTH * i) for i, (name, lines) in enumerate(charts)]
    whole = WIDTH * len(charts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{whole}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def chart(name: str, lines: Sequence[Line], left: float) -> str:
    """Draws one chart."""
    steps = [step for line in lines for step in line.steps]
    values = [value for line in lines for value in line.values]
    first, last = min(0, *steps), max(steps)
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - margin, high + margin

    def across(step: float) -> float:
        share = (step - first) / max(last - first, 1)
        return left + LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<text x="{left + LEFT}" y="16" font-weight="bold">{html.escape(name)}</text>'
    ]
    for value in ticks(low, high):
        y = up(value)
        parts.append(
            f'<path d="M{left + LEFT} {y:.1f}H{left + WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{left + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for step in ticks(first, last):
        parts.append(
            f'<text x="{across(step):.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{step:g}</text>'
        )
    parts.append(
        f'<text x="{left + WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">steps</text>'
    )
    for i, line in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        points = [
            f"{across(step):.1f},{up(value):.1f}"
            for step, value in zip(line.steps, line.values, strict=True)
        ]
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
        )
        if len(points) <= 20:
            parts += [
                '<circle cx="{}" cy="{}" r="3" fill="{}"/>'.format(
                    *at.split(","), colour
                )
                for at in points
            ]
        # To the right of the chart's name.
        x = left + LEFT + max(120, 8 * len(name)) + 130 * i
        parts.append(
            f'<path d="M{x} 12h16" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{x + 20}" y="16">{html.escape(line.name)}</text>'
        )
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
