"""Plots of training runs."""

import importlib
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "tools"))
training_curve = importlib.import_module("training_curve")

SVG = "{http://www.w3.org/2000/svg}"


def run_of(folder, losses, scores):
    folder.mkdir()
    lines = [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
    lines += [{"step": step, "held_out/click_1": score} for step, score in scores]
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "metrics.jsonl").write_text(text + "\n")
    return str(folder)


def draw(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["training_curve", *words])
    return training_curve.main()


def test_every_run_has_a_line_of_its_losses_and_one_of_its_scores(
    tmp_path, monkeypatch
):
    runs = [
        run_of(tmp_path / "one", np.linspace(2, 1, 100), [(50, 0.5), (100, 0.7)]),
        run_of(tmp_path / "two", np.linspace(3, 1, 60), [(60, 0.6)]),
    ]
    out = tmp_path / "curve.svg"
    words = [*runs, "--before", "0.3", "--names", "first", "a < b"]
    assert draw(monkeypatch, *words, "--out", str(out)) == 0
    picture = ElementTree.parse(out)
    lines = [line.get("points").split() for line in picture.iter(f"{SVG}polyline")]
    assert [len(line) for line in lines] == [100, 60, 3, 2]
    # Losses fall, which is down; scores rise.
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    assert all(np.diff(heights[i]).min() > 0 for i in (0, 1))
    assert all(np.diff(heights[i]).max() < 0 for i in (2, 3))
    said = [text.text for text in picture.iter(f"{SVG}text")]
    assert said.count("first") == said.count("a < b") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--score", "held_out/box"], "no held_out/box, only: held_out/click_1, loss"),
        (["--names", "a", "b"], "got 2 names for 1 runs"),
    ],
)
def test_a_missing_metric_is_reported(tmp_path, monkeypatch, capsys, words, said):
    run = run_of(tmp_path / "run", [1.0, 2.0], [(2, 0.5)])
    out = tmp_path / "curve.svg"
    assert draw(monkeypatch, run, *words, "--out", str(out)) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_no_log_is_refused(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text('{"step": 1}\n[]\n')
    out = str(tmp_path / "curve.svg")
    assert draw(monkeypatch, str(run), "--out", out) == 2
    assert "metrics.jsonl:2 is no line of metrics" in capsys.readouterr().err


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=200).map(
        lambda values: training_curve.Line("a", range(len(values)), values)
    )
)
def test_smoothing_stays_within_what_was_measured(line):
    smooth = training_curve.smooth(line)
    assert len(smooth.values) == len(line.values)
    assert min(smooth.values) >= min(line.values) - 1e-6
    assert max(smooth.values) <= max(line.values) + 1e-6


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_are_round_and_within(low, width):
    found = training_curve.ticks(low, low + width)
    assert 2 <= len(found) <= 11
    assert all(low - 1e-6 <= tick <= low + width + 1e-6 for tick in found)
    np.testing.assert_allclose(np.diff(found), found[1] - found[0], rtol=1e-3)
