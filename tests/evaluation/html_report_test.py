"""The HTML report of a suite: whole, self-contained, escaped, the same every time."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, write_set

from samjax.evaluation.html_report import SetPage, render_evaluation
from samjax.evaluation.metrics.metric import Chart
from samjax.evaluation.outputs import save_objects, save_report
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import SinglePoint

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A suite of two sets, its result and records."""
    folder = tmp_path_factory.mktemp("sets")
    sets = [write_set(folder / "birds"), write_set(folder / "fish", [TWO])]
    suite = SinglePoint(min_area=1, clicks=(1,), noc=True).make(sets, None)
    records = {}
    result = evaluate(suite, ColorSegmenter(), on_records=records.__setitem__)
    return suite, result, records


@pytest.mark.parametrize("pictures", [False, True])
def test_the_report_has_scores_charts_and_cases(evaluated, pictures, tmp_path):
    suite, result, records = evaluated
    path = tmp_path / "result.html"
    save_report(suite, result, records, ColorSegmenter(), path, pictures=pictures)
    page = path.read_text()
    for text in ("birds", "fish", "mean of sets", "Calibration", "IoU, box", "clicks"):
        assert text in page
    for deviation in result.deviations:
        assert html.escape(deviation) in page
    assert page.count("<img") == (6 if pictures else 0)
    assert not re.search(r'(src|href)="(?!data:)|<script|url\(|@import', page)
    # A second report replaces it, and is the same.
    save_report(suite, result, records, ColorSegmenter(), path, pictures=pictures)
    assert path.read_text() == page


def test_names_cannot_inject_anything(evaluated):
    _, result, _ = evaluated
    bad = "<script>alert(1)</script>"
    part = dataclasses.replace(result.sets[0], name=bad, skipped={bad: [bad]})
    changed = dataclasses.replace(
        result, model={"name": bad, bad: bad}, deviations=(bad,), sets=(part,)
    )
    chart = Chart(heading=bad, note=bad, across=bad, values=[0.5])
    page = render_evaluation(changed, {bad: SetPage([chart], [bad])})
    assert "<script" not in page and "&lt;script" in page


def test_every_object_is_a_line(evaluated, tmp_path):
    _, result, records = evaluated
    path = tmp_path / "result.objects.jsonl"
    assert save_objects(records, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == sum(len(of_set.objects) for of_set in result.sets) == 6
    assert [line["set"] for line in lines] == ["birds"] * 4 + ["fish"] * 2
    mean = np.mean([line["iou"]["box"] for line in lines if line["set"] == "birds"])
    assert mean == pytest.approx(result.sets[0].scores["box"])
    assert save_objects(records, path)
    assert not save_objects({}, tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()
