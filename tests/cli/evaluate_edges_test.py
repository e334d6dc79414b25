"""`samjax evaluate --suite edges`, on small drawn sets in BSDS500's layouts."""

import json

import pytest
from boundary_set_files import write_bsds, write_file_layout

from samjax import cli

pytest.importorskip("cv2", reason="edge detectors need the extra `eval`")


def test_the_result_has_the_four_scores_and_a_second_call_reads_the_records(
    tmp_path, capfd
):
    folder, out = write_bsds(tmp_path / "bsds"), tmp_path / "out"
    words = ["evaluate", "--suite", "edges", "--segmenter", "canny", "--workers", "1"]
    words += ["--data", str(folder), "--out", str(out)]
    assert cli.main(words) == 0
    printed = capfd.readouterr().out
    assert "ods" in printed and printed.splitlines()[-1] == str(out / "result.json")
    first = json.loads((out / "result.json").read_text())
    assert set(first["scores"]) == {"ods", "ois", "ap", "r50"}
    assert first["suite"] == "edges" and first["deviations"]
    assert first["sets"][0]["edges"]["curve"]["recall"]
    records = (out / "result.images.jsonl").read_bytes()
    assert len(records.splitlines()) == 3
    assert cli.main(words) == 0
    second = json.loads((out / "result.json").read_text())
    for result in (first, second):
        del result["sets"][0]["seconds"]
    assert first == second
    assert (out / "result.images.jsonl").read_bytes() == records


def test_segmenters_and_suites_that_do_not_fit_are_refused(tmp_path, capfd):
    folder = write_file_layout(tmp_path / "set")
    for suite, segmenter in (("single-point", "sobel"), ("edges", "grabcut")):
        words = ["--suite", suite, "--segmenter", segmenter, "--data", str(folder)]
        assert cli.main(["evaluate", *words]) == 2
        assert f"--segmenter {segmenter}" in capfd.readouterr().err
