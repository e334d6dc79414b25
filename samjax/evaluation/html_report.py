"""The HTML report of a suite: scores, charts, cases and everything that repeats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from samjax.evaluation.cases import ChosenCase
from samjax.evaluation.metrics.metric import Chart
from samjax.evaluation.result import Result, SetResult
from samjax.files import json_text
from samjax.report.histograms import Tally, histogram, how_many
from samjax.report.line_charts import Line, line_chart
from samjax.report.parts import document, facts_list, figure, picture, text

KIND = "evaluation"


class SetPage(NamedTuple):
    """The part of the report that is not in the result, for one dataset.

    Attributes:
        charts: Charts of the metrics.
        notes: Lines of the metrics.
        cases: Some of the worst, median and best cases.
    """

    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()
    cases: Sequence[ChosenCase] = ()


def render_evaluation(result: Result, pages: Mapping[str, SetPage]) -> str:
    """Renders the report; the same input gives the same page.

    Args:
        result: The result.
        pages: Charts and cases by name of the dataset.

    Returns:
        HTML, to be written as UTF-8.
    """
    title = f"{result.suite}: {result.model.get('name', 'model')}"
    facts = {
        "images": f"{sum(of.images for of in result.sets):,}",
        "objects": f"{sum(len(of.objects) for of in result.sets):,}",
        "left out": f"{sum(map(_left_out, result.sets)):,}",
    }
    body = [
        f"<header><h1>{text(title)}</h1>{facts_list(facts)}</header>",
        _scores(result),
        *(_set(of, pages.get(of.name, SetPage())) for of in result.sets),
        bullets("Deviations from the paper", result.deviations),
        fields_table("Model", result.model),
        fields_table("Protocol", result.protocol),
        fields_table("Versions", result.versions),
    ]
    return document(title, body, KIND)


def shown_cases(cases: Sequence[ChosenCase], *, signed: bool = False) -> str:
    """Returns cases as a table, or as pictures where they have some.

    Args:
        cases: The cases.
        signed: Whether their scores are differences.
    """
    if not cases:
        return ""
    form = "+.3f" if signed else ".3f"
    if all(of.picture is None for of in cases):
        rows = "".join(
            f'<tr><th scope="row">{text(_case_name(of))}</th><td>{of.kind}</td>'
            f"<td>{text(of.case.name)}: {of.case.score:{form}}</td></tr>"
            for of in cases
        )
        return f"<table>{rows}</table>"
    cards = "".join(
        f'<li><div class="picture">{_shown(of)}</div>'
        f"<h3>{of.kind}: {of.case.score:{form}}</h3>"
        f"<p>{text(of.case.name)}<br>{text(_case_name(of))}{_panels(of)}</p></li>"
        for of in cases
    )
    # Three panels and more would be too small side by side with other cases.
    broad = " broad" if any(len(of.panels) > 2 for of in cases) else ""
    return f'<ul class="sheet cases{broad}">{cards}</ul>'


def bullets(heading: str, lines: Sequence[str]) -> str:
    """Returns a section with a list; empty without a line.

    Args:
        heading: Its heading.
        lines: The lines.
    """
    if not lines:
        return ""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<section><h2>{text(heading)}</h2><ul>{items}</ul></section>"


def fields_table(heading: str, fields: Mapping[str, Any]) -> str:
    """Returns a section with a table of fields; empty without any.

    Args:
        heading: Its heading.
        fields: The fields.
    """
    if not fields:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{_value(value)}</td></tr>'
        for name, value in fields.items()
    )
    return f"<section><h2>{text(heading)}</h2><table>{rows}</table></section>"


def _left_out(of_set: SetResult) -> int:
    return sum(map(len, of_set.skipped.values())) + of_set.small


def _scores(result: Result) -> str:
    names = list(result.scores)
    rows = [
        _score_row(of.name, of.scores, of.intervals, names, of.images)
        for of in result.sets
    ]
    if len(result.sets) > 1:
        rows.append(
            _score_row("mean of sets", result.scores, result.intervals, names, None)
        )
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
    note = "<p>In small: 95 % intervals over images.</p>" if result.intervals else ""
    return (
        f'<section><h2>Scores</h2>{note}<div class="wide"><table class="scores"><thead>'
        f'<tr><th scope="col">set</th><th scope="col">images</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _score_row(
    label: str,
    scores: Mapping[str, float],
    intervals: Mapping[str, Sequence[float]],
    names: Sequence[str],
    images: int | None,
) -> str:
    cells = []
    for name in names:
        score = f"{scores[name]:.3f}" if name in scores else "-"
        low_high = intervals.get(name)
        spread = (
            f"<small>{low_high[0]:.3f} to {low_high[1]:.3f}</small>" if low_high else ""
        )
        cells.append(f"<td>{score}{spread}</td>")
    count = "" if images is None else f"{images:,}"
    return (
        f'<tr><th scope="row">{text(label)}</th><td>{count}</td>{"".join(cells)}</tr>'
    )


def _set(of_set: SetResult, page: SetPage) -> str:
    charts = "".join(map(_chart, page.charts))
    notes = "".join(f"<p>{text(note)}</p>" for note in page.notes)
    return (
        f"<section><h2>{text(of_set.name)}</h2>"
        f"<p>{how_many(of_set.images, ('image', 'images'))}, "
        f"{how_many(len(of_set.objects), ('object', 'objects'))}</p>{notes}"
        f'<div class="figures">{charts}</div>{shown_cases(page.cases)}'
        f"{_skipped(of_set)}</section>"
    )


def _chart(chart: Chart) -> str:
    if chart.values is None:
        lines = [Line(chart.reference, is_reference=True)] if chart.reference else []
        drawing = line_chart([*lines, Line(chart.points)], chart.across, chart.up)
    else:
        tally = Tally()
        tally.add(np.asarray(chart.values, float))
        drawing = histogram(tally, label=chart.across, counted=chart.counted)
    return figure(text(chart.heading), text(chart.note), drawing)


def _shown(of: ChosenCase) -> str:
    # Two or three panels side by side.
    return picture(of.picture, _case_name(of), side=960)


def _panels(of: ChosenCase) -> str:
    """Returns a line with the names of the panels."""
    return f"<br>left to right: {text(', '.join(of.panels))}" if of.panels else ""


def _case_name(of: ChosenCase) -> str:
    index = "" if of.case.index is None else f", object {of.case.index}"
    return f"{of.case.image}{index}"


def _skipped(of_set: SetResult) -> str:
    reasons = [
        f"<details><summary>left out: {len(parts)}, {text(reason)}</summary>"
        + "".join(f"<p>{text(part)}</p>" for part in parts)
        + "</details>"
        for reason, parts in of_set.skipped.items()
    ]
    if of_set.small:
        reasons.append(f"<p>left out: {of_set.small}, below the least area</p>")
    return "".join(reasons)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None:
        return "-"
    return text(json_text(value))
