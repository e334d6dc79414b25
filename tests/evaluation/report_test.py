import pytest

from samjax.evaluation.metrics.mask_iou import mean_iou
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


def test_the_mean_iou_is_over_objects():
    assert mean_iou([0.5, 1.0, 0.0]) == 0.5
    with pytest.raises(ValueError, match="at least one object"):
        mean_iou([])
