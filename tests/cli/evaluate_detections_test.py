"""`samjax evaluate` with the suites of detections, and with several segmenters."""

import json

import pytest
from detection_set_files import true_results, write_coco, write_results

from samjax import cli

pytest.importorskip("pycocotools", reason="AP and AR need the extra `eval`")


@pytest.fixture
def evaluate(capfd):
    """Runs the command; returns its status, output and errors."""

    def run(*words):
        status = cli.main(["evaluate", *map(str, words)])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_saved_masks_are_scored_by_both_suites(evaluate, tmp_path):
    folder = write_coco(tmp_path / "set")
    file = write_results(tmp_path / "masks.json", true_results(masks=True))
    for suite, score in (("instances", "ap"), ("proposals", "ar@1000")):
        out = tmp_path / suite
        words = ["--suite", suite, "--segmenter", "saved", "--results", file]
        status, printed, err = evaluate(*words, "--data", folder, "--out", out)
        assert status == 0, err
        result = json.loads((out / "result.json").read_text())
        assert result["scores"][score] == pytest.approx(1.0)
        assert len(result["model"]["files"][0]["sha256"]) == 64
        assert score in printed and (out / "result.images.jsonl").is_file()


def test_grabcut_from_the_boxes_of_a_detector(evaluate, tmp_path):
    pytest.importorskip("cv2")
    folder = write_coco(tmp_path / "set")
    file = write_results(tmp_path / "boxes.json", true_results())
    words = ["--suite", "instances", "--segmenter", "grabcut", "--boxes", file]
    status, printed, err = evaluate(*words, "--data", folder)
    assert status == 0, err
    assert "in the paper" in printed and "0.465" in printed


def test_masks_that_are_saved_give_the_same_scores_without_the_model(
    evaluate, tmp_path
):
    pytest.importorskip("cv2")
    folder, out = write_coco(tmp_path / "set"), tmp_path / "out"
    common = ["--suite", "instances", "--data", folder]
    words = [*common, "--segmenter", "grabcut", "--save-masks", "--out", out]
    # The second call reads the records of the first, and replaces its own file.
    for _ in range(2):
        status, printed, err = evaluate(*words)
        assert status == 0, err
    masks = out / "result.masks.json"
    assert str(masks) in printed and len(json.loads(masks.read_text())) == 6
    words = [*common, "--segmenter", "saved", "--results", masks]
    status, _, err = evaluate(*words, "--out", tmp_path / "again")
    assert status == 0, err
    first, again = (
        json.loads((folder / "result.json").read_text())["scores"]
        for folder in (out, tmp_path / "again")
    )
    assert again and all(first[name] == score for name, score in again.items())


def test_recorded_predictions_give_the_same_scores_without_the_model(
    evaluate, tmp_path
):
    pytest.importorskip("cv2")
    folder, file = write_coco(tmp_path / "set"), tmp_path / "predictions.jsonl"
    scores = []
    for number, segmenter in enumerate(
        (["grabcut", "--record", file], ["recorded", "--model", file])
    ):
        out = tmp_path / str(number)
        words = ["--suite", "instances", "--data", folder, "--out", out]
        status, _, err = evaluate(*words, "--segmenter", *segmenter)
        assert status == 0, err
        scores.append(json.loads((out / "result.json").read_text())["scores"])
    assert scores[0] == scores[1] and "box" in scores[0]
    notes = tmp_path / "notes.txt"
    notes.write_text("of the user")
    words = ["--suite", "instances", "--data", folder, "--segmenter", "grabcut"]
    status, _, err = evaluate(*words, "--record", notes)
    assert status == 1 and notes.read_text() == "of the user"


def test_several_segmenters_are_compared_on_the_same_images(evaluate, tmp_path):
    pytest.importorskip("cv2")
    folder, out = write_coco(tmp_path / "set"), tmp_path / "out"
    masks = true_results(masks=True)[1:]
    file = write_results(tmp_path / "masks.json", masks)
    words = ["--suite", "instances", "--segmenter", "grabcut", "--against", "saved"]
    words += ["--results", file, "--data", folder, "--out", out]
    status, printed, err = evaluate(*words)
    assert status == 0, err
    results = [
        json.loads((out / part / "result.json").read_text()) for part in ("", "saved")
    ]
    comparison = json.loads((out / "result.comparison.json").read_text())
    for name, result in zip(("grabcut", "saved"), results, strict=True):
        assert comparison["scores"][name]["ap"] == result["scores"]["ap"]
    (ap,) = (part for part in comparison["differences"] if part["score"] == "ap")
    assert ap["value"] == results[1]["scores"]["ap"] - results[0]["scores"]["ap"]
    assert ap["interval"][0] <= ap["value"] <= ap["interval"][1]
    assert "95 % interval" in printed


def test_comparisons_that_do_not_fit_are_refused(evaluate, tmp_path):
    folder = write_coco(tmp_path / "set")
    words = ["--suite", "instances", "--segmenter", "grabcut", "--data", folder]
    for against, text in (
        ("grabcut", "different ones"),
        ("reference", ".pth"),
        ("canny", "--against canny"),
        ("saved", "--results"),
    ):
        status, _, err = evaluate(*words, "--against", against)
        assert status == 2 and text in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--segmenter", "reference"], "--model"),
        (["--segmenter", "grabcut", "vit_b"], "has no weights"),
        (["--segmenter", "recorded"], "--record wrote"),
        (["--suite", "single-point", "--segmenter", "saved"], "no saved predictions"),
    ],
)
def test_segmenters_that_do_not_fit_are_refused(words, text, evaluate, tmp_path):
    status, _, err = evaluate(*words, "--data", write_coco(tmp_path / "set"))
    assert status == 2 and text in err
