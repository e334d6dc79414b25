"""The HTML page of several segmenters side by side: paired differences, and cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.evaluation.cases import ChosenCase, choose_cases, draw_cases
from samjax.evaluation.comparison import Comparison, Records, common_records
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.html_report import KIND, bullets, fields_table, shown_cases
from samjax.evaluation.metrics.metric import Case, ImageRecords, Metric
from samjax.evaluation.segmenter import Segmenter
from samjax.evaluation.suite import Suite
from samjax.files import write_output
from samjax.report.interval_charts import Interval, interval_chart
from samjax.report.parts import document, facts_list, figure, text

Cases = Mapping[tuple[str, str], Sequence[ChosenCase]]
"""Cases by the names of a segmenter and a dataset."""


def save_comparison_report(
    suite: Suite,
    comparison: Comparison,
    records: Mapping[str, Records],
    models: Mapping[str, Mapping[str, Any]],
    path: Path,
    *,
    segmenters: Mapping[str, Segmenter | EdgeDetector] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the page.

    Args:
        suite: The suite.
        comparison: The comparison.
        records: The records of each segmenter, by its name.
        models: Descriptions of the segmenters, by name.
        path: Path of the file.
        segmenters: The segmenters, which predict the cases once more for pictures; none
            for no pictures. These are photos of the datasets, of people too.
        overwrite: Whether a file that samjax did not write is replaced.

    Raises:
        WouldReplace: Such a file is there, and stays as it is.
        OSError: It cannot be written.
    """
    first, *others = records
    common = common_records(records)
    cases: dict[tuple[str, str], Sequence[ChosenCase]] = {}
    for name in others:
        for dataset in suite.datasets:
            pair = common[first][dataset.name], common[name][dataset.name]
            chosen = choose_cases(_differences(suite.metrics, *pair))
            if segmenters:
                shown = {label: segmenters[label] for label in (first, name)}
                chosen = draw_cases(suite, shown, dataset, chosen)
            cases[name, dataset.name] = chosen
    page = render_comparison(suite, comparison, models, cases)
    write_output(path, page.encode(), "evaluation", overwrite=overwrite)


def render_comparison(
    suite: Suite,
    comparison: Comparison,
    models: Mapping[str, Mapping[str, Any]],
    cases: Cases,
) -> str:
    """Renders the page; the same input gives the same page.

    Args:
        suite: The suite.
        comparison: The comparison.
        models: Descriptions of the segmenters, by name.
        cases: Objects or images by the difference of their score.

    Returns:
        HTML, to be written as UTF-8.
    """
    first, *others = comparison.scores
    images = max((part.images for part in comparison.differences), default=0)
    facts = {"images": f"{images:,}", "compared with": first}
    title = f"{suite.name}: {', '.join(comparison.scores)}"
    body = [
        f"<header><h1>{text(title)}</h1>{facts_list(facts)}</header>",
        _scores(comparison),
        *(_differences_of(comparison, name) for name in others),
        *(_cases_of(name, first, cases) for name in others),
        bullets("Deviations from the paper", suite.deviations),
        *(fields_table(f"Model: {name}", fields) for name, fields in models.items()),
        fields_table("Protocol", suite.protocol),
    ]
    return document(title, body, KIND)


def _differences(
    metrics: Sequence[Metric],
    first: Sequence[ImageRecords],
    other: Sequence[ImageRecords],
) -> list[Case]:
    """Returns the cases of the first metric that has some, by the difference."""
    for metric in metrics:
        before = {(case[1:]): case.score for case in metric.cases(first)}
        cases = [
            case._replace(score=case.score - before[case[1:]])
            for case in metric.cases(other)
            if case[1:] in before
        ]
        if cases:
            return cases
    # Segmenters of other prompts: the first score that both have.
    places = [
        (image.name, index) for image in other for index in range(len(image.objects))
    ]
    for metric in metrics:
        of_first, of_other = (
            metric.summarize(side).per_object for side in (first, other)
        )
        for name in of_other:
            if name in of_first:
                change = of_other[name] - of_first[name]
                return [
                    Case(float(value), image, index, name)
                    for (image, index), value in zip(places, change, strict=True)
                    if not np.isnan(value)
                ]
    return []


def _scores(comparison: Comparison) -> str:
    """Returns the table of scores, a row for each and a column for each segmenter."""
    first, *others = comparison.scores
    by_place = {(part.score, part.of): part for part in comparison.differences}
    heads = f'<th scope="col">{text(first)}</th>' + "".join(
        f'<th scope="col">{text(name)}</th><th scope="col">difference</th>'
        for name in others
    )
    rows = []
    for score, value in comparison.scores[first].items():
        cells = [f"<td>{value:.3f}</td>"]
        for name in others:
            part = by_place.get((score, name))
            if part is None:
                cells.append("<td>-</td><td></td>")
                continue
            low, high = part.interval
            # What excludes zero is marked by weight, not by colour alone.
            mark = "b" if part.is_clear else "span"
            cells.append(
                f"<td>{comparison.scores[name][score]:.3f}</td><td><{mark}>"
                f"{part.value:+.3f}</{mark}><small>{low:+.3f} to {high:+.3f}</small></td>"
            )
        rows.append(f'<tr><th scope="row">{text(score)}</th>{"".join(cells)}</tr>')
    return (
        "<section><h2>Scores</h2><p>In small: 95 % intervals of the differences, both "
        "segmenters on the same drawn images. Bold: the interval excludes zero.</p>"
        f'<div class="wide"><table class="scores"><thead><tr><th scope="col">score</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _differences_of(comparison: Comparison, name: str) -> str:
    """Returns the chart of a segmenter's differences."""
    parts = [part for part in comparison.differences if part.of == name]
    if not parts:
        return ""
    against = parts[0].against
    rows = [
        Interval(part.score, part.value, part.interval[0], part.interval[1])
        for part in parts
    ]
    chart = interval_chart(rows, f"{name} less {against}")
    drawing = figure(text(f"{name} less {against}"), "95 % intervals", chart)
    return f'<section><div class="figures">{drawing}</div></section>'


def _cases_of(name: str, first: str, cases: Cases) -> str:
    """Returns the cases of a segmenter on all datasets."""
    parts = [
        f"<p>{text(dataset)}</p>{shown_cases(chosen, signed=True)}"
        for (segmenter, dataset), chosen in cases.items()
        if segmenter == name and chosen
    ]
    if not parts:
        return ""
    heading = text(f"Cases, {name} less {first}")
    return f"<section><h2>{heading}</h2>{''.join(parts)}</section>"
