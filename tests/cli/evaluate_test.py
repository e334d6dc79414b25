"""`samjax evaluate` on sets of photos, with a small model of random weights."""

import json
from pathlib import Path

import pytest
from small_photo_set import TWO, write_set

from samjax import cli
from samjax.checkpoints import save
from samjax.cli.evaluation_files import result_file
from samjax.evaluation.result import Result

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

SHARED = Path(__file__).parents[3] / "shared" / "data" / "eval"


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> Path:
    model, params = tiny_model
    return save(
        tmp_path_factory.mktemp("weights") / "small.safetensors", model.config, params
    )


@pytest.fixture
def evaluate(capfd):
    """Runs the command; returns its status, output and errors."""

    def run(*words):
        status = cli.main(["evaluate", *map(str, words)])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_scores_on_two_sets_are_printed_and_written(evaluate, weights, tmp_path):
    birds, fish = write_set(tmp_path / "birds"), write_set(tmp_path / "fish", [TWO])
    out = tmp_path / "out"
    options = ["--clicks", "1", "2", "--min-area", "1", "--noc"]
    status, printed, err = evaluate(
        weights, "--data", birds, fish, *options, "--out", out
    )
    assert status == 0, err
    result = Result.load(out / "result.json")
    assert [one.name for one in result.sets] == ["birds", "fish"]
    assert set(result.scores) == {
        *("1", "2", "oracle", "oracle_2"),
        *("box", "box_oracle", "box_single"),
    }
    assert all(0 <= score <= 1 for score in result.scores.values())
    assert result.model["name"] == str(weights) and len(result.model["weights"]) == 64
    assert result.protocol["clicks"] == [1, 2] and result.protocol["min_area"] == 1
    assert {"samjax", "jax", "numpy"} <= set(result.versions)
    for text in ("birds", "fish", "mean of sets", "rank correlation", "clicks ("):
        assert text in printed
    assert f"{result.scores['box']:.3f}" in printed
    assert printed.splitlines()[-1] == str(out / "result.json")


def test_the_model_and_the_suite_may_be_options(evaluate, weights, tmp_path):
    folder, out = write_set(tmp_path / "birds", [TWO]), tmp_path / "out"
    words = ["--suite", "single-point", "--model", weights, "--data", folder]
    assert evaluate(*words, "--out", out)[0] == 0
    scores = json.loads((out / "result.json").read_text())["scores"]
    assert {"1", "3", "5", "oracle"} <= set(scores)
    # A result is replaced by the next one, and by the same name as MODEL.
    assert evaluate(weights, *words, "--out", out / "result.json")[0] == 0


def test_grabcut_is_measured_from_boxes(evaluate, tmp_path):
    folder, out = write_set(tmp_path / "birds", [TWO]), tmp_path / "floor.json"
    status, printed, _ = evaluate(
        *("--segmenter", "grabcut", "--data", folder, "--out", out)
    )
    assert status == 0
    result = Result.load(out)
    assert set(result.scores) == {"box"} and result.scores["box"] > 0.95
    assert result.model["name"] == "grabcut"
    assert "rank correlation" not in printed


def test_damage_is_named_and_the_rest_is_scored(evaluate, tmp_path):
    def damage(content):
        content["annotations"][0]["segmentation"]["counts"] = "~"

    folder = write_set(tmp_path / "birds", [TWO] * 3, change=damage)
    (folder / "images/001.png").write_text("no image")
    status, printed, err = evaluate("--segmenter", "grabcut", "--data", folder)
    assert status == 0
    assert "annotation 1 of images/000.png" in err and "images/001.png" in err
    assert "1 damaged mask, 1 damaged or missing photo" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tiny", "--model", "vit_b"], "expected one model"),
        (["--noc"], "--noc is for photos"),
        (["--min-area", "9"], "--min-area is for photos"),
        (["--segmenter", "grabcut"], "--segmenter is for photos"),
        (["--clicks", "0", "1"], "at least 1"),
        (["--suite", "colours"], "invalid choice"),
        (["--data", "birds", "--scenes", "5"], "one of the two"),
        (["--data", "birds", "--images", "0"], "--images 0: expected at least 1"),
        (["--data", "birds", "--segmenter", "grabcut", "--noc"], "GrabCut takes a box"),
        (["tiny", "--data", "birds", "--segmenter", "grabcut"], "leave out tiny"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_line(
    evaluate, words, said, tmp_path, monkeypatch
):
    write_set(tmp_path / "birds", [TWO])
    monkeypatch.chdir(tmp_path)
    status, _, err = evaluate(*words)
    assert status == 2 and said in err and err.count("\n") == 1


def test_bad_input_is_one_line_and_nothing_is_replaced(evaluate, tmp_path):
    folder = write_set(tmp_path / "birds", [TWO])
    notes = tmp_path / "notes.json"
    notes.write_text("mine")
    grabcut = ["--segmenter", "grabcut"]
    for words, said in (
        (["--data", tmp_path / "none"], "none: no such file"),
        (["--data", folder / "images"], "no JSON file"),
        (["--data", folder, folder], "own name"),
        (["--data", folder, "--out", notes], "is no result"),
        (["--data", folder, "--min-area", "9999"], "no object to score"),
    ):
        status, _, err = evaluate(*grabcut, *words)
        assert status == 1 and said in err and err.count("\n") == 1
    assert notes.read_text() == "mine"


def test_out_is_a_file_by_its_suffix_and_else_a_folder(tmp_path):
    assert result_file(tmp_path / "a.json") == tmp_path / "a.json"
    assert result_file(tmp_path / "runs") == tmp_path / "runs" / "result.json"
    (tmp_path / "b.json").mkdir()
    assert result_file(tmp_path / "b.json") == tmp_path / "b.json" / "result.json"


def test_the_bundled_model_is_measured_on_photos(evaluate, tmp_path):
    if not (SHARED / "coco").is_dir():
        pytest.skip("the photos of COCO are not on this machine")
    status, _, err = evaluate(
        *("tiny", "--data", SHARED / "coco", "--images", "3", "--objects", "4"),
        *("--clicks", "1", "--out", tmp_path),
    )
    assert status == 0, err
    scores = Result.load(tmp_path / "result.json").scores
    assert scores["oracle"] >= scores["1"] > 0.1
