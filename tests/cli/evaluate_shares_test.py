"""`samjax evaluate` in shares that are merged, and with kept embeddings."""

import json

import pytest
from detection_set_files import true_results, write_coco, write_results
from small_photo_set import TWO, write_set

from samjax import cli
from samjax.checkpoints import save

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory):
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


def untimed(path):
    content = json.loads(path.read_text())
    for of_set in content["sets"]:
        del of_set["seconds"]
    return content


def test_shares_are_merged_to_the_result_of_one_process(evaluate, tmp_path):
    pytest.importorskip("pycocotools")
    folder = write_coco(tmp_path / "set")
    words = ["--suite", "instances", "--segmenter", "grabcut", "--data", folder]
    words += ["--against", "saved", "--results", tmp_path / "masks.json"]
    write_results(tmp_path / "masks.json", true_results(masks=True)[1:])
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert evaluate(*words, "--out", whole)[0] == 0
    for index in (0, 1):
        status, printed, err = evaluate(*words, "--out", out, "--share", f"{index}/2")
        assert status == 0, err
        assert f"share {index}/2" in printed and f"--merge {out}" in printed
        assert not (out / "result.json").exists()
    status, printed, err = evaluate(*words, "--out", out, "--merge", out)
    assert status == 0, err
    for part in ("", "saved"):
        merged, other = (place / part / "result.json" for place in (out, whole))
        assert untimed(merged) == untimed(other)
    assert (out / "result.comparison.html").is_file()
    status, _, err = evaluate(*words, "--refine", "2", "--merge", out)
    assert status == 1 and "protocol.refine" in err and err.count("\n") == 1


def test_embeddings_are_kept_for_the_next_evaluation(evaluate, weights, tmp_path):
    # Two photos are the same.
    photos = [TWO, TWO[:1], TWO]
    folder, kept = write_set(tmp_path / "birds", photos), tmp_path / "kept"
    words = [weights, "--data", folder, "--clicks", "1", "--embeddings", kept]
    results = []
    for name, said in (("a", "1 read, 2 written"), ("b", "3 read, 0 written")):
        status, printed, err = evaluate(*words, "--out", tmp_path / name)
        assert status == 0, err
        assert said in printed
        results.append(untimed(tmp_path / name / "result.json"))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--share", "0/2"], "--share 0/2: name a folder"),
        (["--share", "2/2", "--out", "out"], "an index below"),
        (["--share", "0/2", "--out", "out", "--merge", "out"], "one of the two"),
        (["--share", "0/2", "--out", "out", "--record", "a"], "--record is for"),
        (["--embeddings", "kept"], "--embeddings is for models of samjax"),
        (["--suite", "instances", "--save-masks"], "--save-masks: name a folder"),
        (["--suite", "proposals", "--save-masks"], "--save-masks: name a folder"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    evaluate, words, said, tmp_path, monkeypatch
):
    write_coco(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    segmenter = "recorded" if "proposals" in words else "grabcut"
    model = ["--model", "file"] if segmenter == "recorded" else []
    status, _, err = evaluate("--segmenter", segmenter, *model, "--data", "set", *words)
    assert status == 2 and said in err and err.count("\n") == 1


def test_drawn_scenes_have_no_shares(evaluate, tmp_path):
    for words in (
        ["--share", "0/2", "--out", tmp_path / "a.json"],
        ["--merge", tmp_path],
    ):
        status, _, err = evaluate("tiny", "--scenes", "2", *words)
        assert status == 2 and "is for photos" in err
