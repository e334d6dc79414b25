"""The flat report of scores on one dataset."""

from samjax.evaluation.report import Report


def test_a_report_reads_back_as_it_was_saved(tmp_path):
    report = Report(
        suite="two discs",
        protocol={"clicks": [1, 3]},
        scores={"click_1": 0.5},
        objects=({"scene": 0, "iou": {"click_1": 0.5}},),
    )
    path = tmp_path / "deep" / "report.json"
    report.save(path)
    assert Report.load(path) == report
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]
    assert "click_1  0.500" in report.summary()
