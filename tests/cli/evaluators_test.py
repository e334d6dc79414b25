"""Evaluators of training runs are suites of `samjax evaluate`."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from samjax.cli.evaluators import SuiteEvaluator, evaluators_of
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.evaluation.suites.single_point import SinglePoint, scene_suite

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


def evaluators(model, data=None, *, scenes=1, images=9):
    config = SimpleNamespace(model=model.config, data=data)
    return evaluators_of(config, model, scenes=scenes, images=images)


def test_scenes_are_evaluated_by_the_suite_of_the_command(tiny_model):
    model, _ = tiny_model
    size = model.config.image_size
    by_name = evaluators(model, scenes=7)
    assert by_name == {"held_out": SuiteEvaluator(scene_suite(7, size), model)}
    assert by_name["held_out"].suite == SinglePoint(scenes=7).make([], size)
    assert not evaluators(model, scenes=0)


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


def test_parts_of_a_dataset_that_are_held_out_are_evaluated(tiny_model, dataset):
    model, params = tiny_model
    scores = evaluators(model, dataset, images=1)["held_out"](params)
    assert {"click_1", "click_3", "box"} <= set(scores)
    whole = dataclasses.replace(dataset, validation_fraction=0.0)
    mixture = MixtureConfig(parts=(MixturePart(data=whole), MixturePart(data=dataset)))
    assert set(evaluators(model, mixture, images=1)) == {"held_out_1"}
    assert not evaluators(model, dataset, images=0)


def test_damaged_examples_are_warned_of(tiny_model, dataset, tmp_path):
    model, params = tiny_model
    evaluator = evaluators(model, dataset)["held_out"]
    assert isinstance(evaluator, SuiteEvaluator) and len(evaluator.suite) > 1
    damaged = evaluator.suite.datasets[0].source[0].name
    (tmp_path / "data/images" / damaged).write_text("no image")
    with pytest.warns(UserWarning, match=f"1 of .* are damaged.*{damaged}"):
        evaluator(params)
