"""The page of several segmenters: differences with intervals, and cases side by side."""

import dataclasses
import html
import re

import numpy as np
import pytest
from small_photo_set import ColorSegmenter
from small_suites import SUITES, PartSegmenter

from samjax.evaluation.comparison import compare
from samjax.evaluation.comparison_report import save_comparison_report
from samjax.evaluation.edge_detectors import CANNY, SOBEL
from samjax.evaluation.suite import evaluate
from samjax.report.interval_charts import Interval, interval_chart

pytest.importorskip("cv2", reason="suites need the extra `eval`")


class BoxSegmenter(ColorSegmenter):
    """Takes boxes alone."""

    prompt_kinds = frozenset(("box",))


def page_of(name, segmenters, tmp_path, *, pictures=False):
    """The page of segmenters on a suite of `small_suites`."""
    suite = SUITES[name].open(tmp_path)
    # Numbers of clicks need a model that takes points.
    metrics = [metric for metric in suite.metrics if "points" not in metric.needs]
    suite = dataclasses.replace(suite, metrics=tuple(metrics))
    records = {label: {} for label in segmenters}
    for label, segmenter in segmenters.items():
        evaluate(suite, segmenter, on_records=records[label].__setitem__)
    comparison = compare(
        suite.name, suite.metrics, records, resamples=50, slow_resamples=5
    )
    path = tmp_path / "result.comparison.html"
    models = {label: segmenter.describe() for label, segmenter in segmenters.items()}
    shown = segmenters if pictures else None
    save_comparison_report(suite, comparison, records, models, path, segmenters=shown)
    return comparison, path.read_text()


@pytest.mark.parametrize(
    ("name", "segmenters", "panels"),
    [
        (
            "single-point",
            {"part": PartSegmenter(), "whole": ColorSegmenter()},
            "truth, part, whole",
        ),
        (
            "single-point",
            {"part": PartSegmenter(), "boxes": BoxSegmenter()},
            "truth, part, boxes",
        ),
        ("edges", {"canny": CANNY, "sobel": SOBEL}, "photo, truth, canny, sobel"),
        (
            "proposals",
            {"part": PartSegmenter(), "whole": ColorSegmenter()},
            "truth, part, whole",
        ),
    ],
)
def test_differences_and_cases_are_on_the_page(name, segmenters, panels, tmp_path):
    if name == "proposals":
        pytest.importorskip("pycocotools")
    comparison, page = page_of(name, segmenters, tmp_path, pictures=True)
    first, other = segmenters
    for part in comparison.differences:
        assert f"{part.value:+.3f}" in page
        assert f"{part.interval[0]:+.3f} to {part.interval[1]:+.3f}" in page
    assert f"Cases, {other} less {first}" in page
    assert f"left to right: {panels}" in page
    assert page.count("<img") == page.count("left to right") > 0
    assert not re.search(r'(src|href)="(?!data:)|<script|url\(|@import', page)


def test_people_are_not_shown_unless_wanted(tmp_path):
    segmenters = {"part": PartSegmenter(), "whole": ColorSegmenter()}
    _, page = page_of("fairness", segmenters, tmp_path)
    assert "<img" not in page and "000.png, object 0" in page


def test_names_cannot_inject_anything(tmp_path):
    bad = "<script>alert(1)</script>"
    _, page = page_of("edges", {"canny": CANNY, bad: SOBEL}, tmp_path)
    assert "<script" not in page and html.escape(bad) in page


def test_a_chart_has_a_dot_and_a_line_for_every_difference():
    rows = [
        Interval("one", 0.1, 0.05, 0.2),
        Interval("a very long name of it", -0.1, -0.2, 0.0),
    ]
    drawing = interval_chart(rows, "b less a")
    assert drawing.count('class="dot"') == 2 and drawing.count('class="line"') == 2
    numbers = [float(found) for found in re.findall(r'cx="([\d.]+)"', drawing)]
    middle = float(re.findall(r'class="axis" d="M([\d.]+)', drawing)[0])
    # Equal and opposite differences are as far from zero.
    assert np.mean(numbers) == pytest.approx(middle, abs=0.1)
    assert numbers[0] > middle > numbers[1]
    assert "+0.100, +0.050 to +0.200" in drawing
    assert 'class="axis"' in interval_chart([], "none")
