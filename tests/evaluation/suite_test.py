"""Suites as values: a suite of one file, its row in the table, and the runner."""

import json

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, OneSample, sample_of, write_set

from samjax import cli
from samjax.checkpoints import save
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.metrics.metric import Metric, Summary
from samjax.evaluation.metrics.number_of_clicks import NumberOfClicks
from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.policies.grid import Grid
from samjax.evaluation.suite import Suite, evaluate
from samjax.evaluation.suites import SUITES, SuiteOptions, suite_options


@pytest.fixture
def coverage(monkeypatch):
    """The suite of `tests/coverage_suite.py`, added by its one row of the table."""
    monkeypatch.setitem(SUITES, "coverage", "coverage_suite.Coverage")


def suite_of(masks=TWO, **changes) -> Suite:
    fields = {
        "name": "test",
        "datasets": (OneSample(sample_of(masks)),),
        "policies": (Boxes(),),
        "metrics": (MaskIou(),),
        "protocol": {},
    }
    return Suite(**fields | changes)


def test_a_suite_is_one_file_and_one_row(coverage, tmp_path):
    folder = write_set(tmp_path / "birds")
    suite = suite_options("coverage")(points_per_side=10).make([folder], None)
    result = evaluate(suite, ColorSegmenter())
    # Points are 8 pixels apart, so that one is on every square of 22 or 25 pixels.
    assert result.scores == {"recall": 1.0, "masks": 100.0}
    assert set(result.intervals) == {"recall"}
    # The only point, in the middle of the image, is on neither.
    suite = suite_options("coverage")(points_per_side=1).make([folder], None)
    assert evaluate(suite, ColorSegmenter()).scores == {"recall": 0.0, "masks": 1.0}


def test_the_command_runs_it_with_its_own_options(
    coverage, tmp_path, tiny_model, capfd
):
    model, params = tiny_model
    weights = save(tmp_path / "small.safetensors", model.config, params)
    folder, out = write_set(tmp_path / "birds", [TWO]), tmp_path / "out"
    words = ["--suite", "coverage", "--model", str(weights), "--data", str(folder)]
    words += ["--points-per-side", "2", "--threshold", "0.01", "--out", str(out)]
    assert cli.main(["evaluate", *words]) == 0
    printed = capfd.readouterr().out
    assert "coverage" in printed and "recall" in printed
    content = json.loads((out / "result.json").read_text())
    assert content["suite"] == "coverage" and content["scores"]["masks"] == 4.0
    assert content["protocol"]["points_per_side"] == 2
    # Options of other suites are none of its options.
    assert cli.main(["evaluate", *words, "--noc"]) == 2
    assert "--noc" in capfd.readouterr().err


@pytest.mark.parametrize("name", SUITES)
def test_every_row_of_the_table_is_a_class_of_options(name):
    options = suite_options(name)
    assert issubclass(options, SuiteOptions) and options().check is not None


def test_policies_that_a_segmenter_cannot_follow_are_left_out():
    segmenter = ColorSegmenter()
    segmenter.prompt_kinds = frozenset(("box",))
    evaluate(suite_of(policies=(Grid(points_per_side=2), Boxes())), segmenter)
    assert all(prompt.box is not None for call in segmenter.prompts for prompt in call)
    with pytest.raises(ValueError, match="takes points"):
        evaluate(suite_of(metrics=(NumberOfClicks(thresholds=(0.9,)),)), segmenter)


def test_an_image_is_embedded_once_for_all_policies_and_not_without_prompts():
    segmenter = ColorSegmenter()
    evaluate(suite_of(policies=(Grid(points_per_side=2), Boxes())), segmenter)
    assert segmenter.embedded == 1
    with pytest.raises(ValueError, match="no object to score"):
        evaluate(suite_of(np.zeros((0, 60, 80), bool)), segmenter)
    assert segmenter.embedded == 1


def test_metrics_may_score_images_without_objects_and_pool_the_sets():
    class Masks(Metric):
        def observe(self, round, sample, records):
            records.values["masks"] = records.values.get("masks", 0) + 1

        def summarize(self, images):
            return Summary(scores={"rounds": float(len(images))})

        def pooled(self, images):
            return {"rounds": [image.values["masks"] for image in images]}

    suite = suite_of(
        np.zeros((0, 60, 80), bool),
        policies=(Grid(points_per_side=5),),
        metrics=(Masks(),),
    )
    result = evaluate(suite, ColorSegmenter())
    assert result.scores == {"rounds": 1.0} and result.details == {"rounds": [2]}


def test_scores_alone_have_neither_intervals_nor_a_description():
    result = evaluate(suite_of(scores_only=True), ColorSegmenter())
    assert not result.intervals and not result.model
    full = evaluate(suite_of(), ColorSegmenter())
    assert full.scores == result.scores and full.intervals and full.model
