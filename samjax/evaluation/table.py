"""The table of scores that `samjax evaluate` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from samjax.evaluation.intervals import FEW_IMAGES
from samjax.evaluation.result import Result, SetResult
from samjax.evaluation.suite import Suite


def table(suite: Suite, result: Result) -> str:
    """Returns the scores with their intervals, and the notes of the metrics below.

    Args:
        suite: The suite, whose metrics write the notes.
        result: Its result.
    """
    names = list(result.scores)
    rows = [[suite.heading, "photos", "objects", *names]]
    for of_set in result.sets:
        counts = [str(of_set.images), str(len(of_set.objects))]
        rows.append([of_set.name, *counts, *_scores(of_set.scores, names)])
        if of_set.intervals:
            rows.append(["", "", "", *_ranges(of_set.intervals, names)])
    if len(result.sets) > 1:
        rows.append(["mean of sets", "", "", *_scores(result.scores, names)])
        if result.intervals:
            rows.append(["", "", "", *_ranges(result.intervals, names)])
    lines = _aligned(rows)
    for of_set in result.sets:
        notes = [
            note for metric in suite.metrics for note in metric.notes(of_set.details)
        ]
        notes += _left_out(of_set)
        lines += [f"{of_set.name}: {note}" for note in notes]
    for metric in suite.metrics:
        lines += metric.pooled_notes(result.details)
    return "\n".join(lines)


def _left_out(of_set: SetResult) -> list[str]:
    """Returns lines on the parts that are left out, and on sets that are too small."""
    lines = []
    left_out = [f"{len(parts)} {reason}" for reason, parts in of_set.skipped.items()]
    if of_set.small:
        left_out.insert(0, f"{of_set.small} too small")
    if left_out:
        lines.append(f"left out: {', '.join(left_out)}")
    if of_set.intervals and of_set.images < FEW_IMAGES:
        lines.append("intervals of so few photos are too narrow")
    return lines


def _scores(scores: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [f"{scores[name]:.3f}" if name in scores else "-" for name in names]


def _ranges(
    intervals: Mapping[str, Sequence[float]], names: Sequence[str]
) -> list[str]:
    return [
        f"{intervals[name][0]:.2f}-{intervals[name][1]:.2f}"
        if name in intervals
        else ""
        for name in names
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
