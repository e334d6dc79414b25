"""Result files: read back as written, never in the place of other files."""

import json

import pytest

from samjax.evaluation.result import Result, SetResult
from samjax.files import check_replaceable


def result(**changes) -> Result:
    one = SetResult(
        name="birds",
        images=1,
        scores={"1": 0.5},
        intervals={"1": [0.4, 0.6]},
        details={"noc": {}, "calibration": None},
        small=2,
        skipped={"damaged mask": ["annotation 3"]},
        objects=({"photo": "a.jpg", "iou": {"1": 0.5}},),
        seconds=1.5,
    )
    fields = {
        "suite": "single-point",
        "model": {"name": "tiny"},
        "protocol": {"clicks": [1]},
        "deviations": ("none to speak of",),
        "scores": {"1": 0.5},
        "intervals": {"1": [0.4, 0.6]},
        "details": {"calibration": None},
        "sets": (one,),
        "versions": {"samjax": "0"},
    }
    return Result(**fields | changes)


def test_a_result_reads_back_as_it_was_saved(tmp_path):
    path = tmp_path / "deep" / "result.json"
    result().save(path)
    assert Result.load(path) == result()
    result(suite="other").save(path)
    assert Result.load(path).suite == "other"
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_tables_of_metrics_are_fields_of_their_own_in_the_file(tmp_path):
    path = tmp_path / "result.json"
    result(details={"calibration": {"error": 0.5}, "curve": [1, 2]}).save(path)
    content = json.loads(path.read_text())
    assert content["calibration"] == {"error": 0.5} and content["curve"] == [1, 2]
    assert content["sets"][0]["noc"] == {} and "details" not in content
    assert Result.load(path).calibration == {"error": 0.5}


@pytest.mark.parametrize("content", ["{}", "notes", '{"format": "other"}', "[1]", ""])
def test_files_that_are_no_result_stay_as_they_are(tmp_path, content):
    path = tmp_path / "notes.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is no result"):
        check_replaceable(path, "evaluation")
    with pytest.raises(ValueError, match="is no result"):
        result().save(path)
    assert path.read_text() == content
    with pytest.raises(ValueError, match="expected a result"):
        Result.load(path)


def test_a_score_that_is_no_number_leaves_no_file(tmp_path):
    path = tmp_path / "result.json"
    with pytest.raises(ValueError, match="JSON"):
        result(scores={"1": float("nan")}).save(path)
    assert not list(tmp_path.iterdir())


def test_a_result_of_another_version_is_refused(tmp_path):
    path = tmp_path / "result.json"
    result().save(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": 99}))
    with pytest.raises(ValueError, match="of version 1"):
        Result.load(path)
