"""Evaluators of training runs are suites of `samjax evaluate`."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from samjax.cli.evaluators import SuiteEvaluator, evaluators_of
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.evaluation.segmenter import PredictorSegmenter
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import scene_suite
from samjax.inference import Predictor

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


def config(small_config, data=None):
    return SimpleNamespace(model=small_config, dtype="float32", data=data)


def test_scenes_are_evaluated_by_the_suite_of_the_command(small_config, tiny_model):
    evaluators = evaluators_of(config(small_config), scenes=1, images=5)
    assert set(evaluators) == {"held_out"}
    scores = evaluators["held_out"](tiny_model[1])
    suite = scene_suite(1, small_config.image_size)
    expected = evaluate(suite, PredictorSegmenter(Predictor(*tiny_model)))
    assert scores == expected.scores
    assert not evaluators_of(config(small_config), scenes=0, images=5)


@pytest.fixture
def dataset(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for index in range(6):
        mask = np.zeros((24, 32), np.uint8)
        mask[4:14, 5:20] = 1
        for kind, pixels in (("images", 150 * mask), ("masks", mask)):
            Image.fromarray(pixels).save(tmp_path / "data" / kind / f"{index}.png")
    return DatasetConfig(
        path=str(tmp_path / "data"), format="folder", validation_fraction=0.5
    )


def test_parts_of_a_dataset_that_are_held_out_are_evaluated(
    small_config, tiny_model, dataset
):
    evaluators = evaluators_of(config(small_config, dataset), scenes=1, images=1)
    scores = evaluators["held_out"](tiny_model[1])
    assert {"click_1", "click_3", "box"} <= set(scores)
    whole = dataclasses.replace(dataset, validation_fraction=0.0)
    mixture = MixtureConfig(parts=(MixturePart(data=whole), MixturePart(data=dataset)))
    mixed = evaluators_of(config(small_config, mixture), scenes=1, images=1)
    assert set(mixed) == {"held_out_1"}
    assert not evaluators_of(config(small_config, dataset), scenes=1, images=0)


def test_damaged_examples_are_warned_of(small_config, tiny_model, dataset, tmp_path):
    evaluator = evaluators_of(config(small_config, dataset), scenes=1, images=9)[
        "held_out"
    ]
    assert isinstance(evaluator, SuiteEvaluator) and len(evaluator.suite) > 1
    damaged = evaluator.suite.datasets[0].source[0].name
    (tmp_path / "data/images" / damaged).write_text("no image")
    with pytest.warns(UserWarning, match=f"1 of .* are damaged.*{damaged}"):
        evaluator(tiny_model[1])
