"""A run as a library call, from initial weights to saved ones."""

import dataclasses

import jax
import numpy as np
import pytest
from conftest import random_params
from training.discs import make_discs
from training.small_run import STEPS, run_config

import samjax
from samjax import checkpoints
from samjax.files import WouldReplace
from samjax.models import Sam
from samjax.training import launch as module
from samjax.training.config import TrainConfig
from samjax.training.finetune.delta_file import load_trained
from samjax.training.launch import (
    InitialWeightsError,
    initial_params,
    launch,
    source_factory,
)


@pytest.fixture
def config(fake_step, monkeypatch) -> TrainConfig:
    monkeypatch.setattr(module, "make_source", make_discs)
    model = dataclasses.replace(run_config().model, drop_path_rate=0.0)
    return dataclasses.replace(run_config(), model=model, initialization="random")


@pytest.fixture
def weights(config, tmp_path):
    params = random_params(Sam(config.model), seed=0)
    return checkpoints.save(tmp_path / "start.safetensors", config.model, params)


def test_a_run_has_one_model_and_leaves_its_weights(
    config, weights, tmp_path, monkeypatch, capsys
):
    models, seen = [], []
    build = TrainConfig.build_model

    def counting(self):
        models.append(build(self))
        return models[-1]

    monkeypatch.setattr(TrainConfig, "build_model", counting)

    def evaluators(config, model):
        seen.append(model)
        return {"fake": lambda params: {"score": 0.25}}

    launched = launch(
        dataclasses.replace(config, trainable="decoder"),
        out=tmp_path / "run",
        initial=str(weights),
        evaluators=evaluators,
    )
    assert len(models) == 1 and seen == models and seen[0] is models[0]
    assert (launched.result.steps, launched.result.finished) == (STEPS, True)
    assert "before  fake/score 0.25" in capsys.readouterr().out
    assert launched.weights is not None and launched.trained is not None
    _, end = samjax.load(launched.weights)
    jax.tree.map(np.testing.assert_array_equal, end, launched.result.params)
    # The fake step changes frozen parameters too, so the file belongs to the end's.
    rebuilt, _ = load_trained(launched.trained, end)
    jax.tree.map(np.testing.assert_array_equal, rebuilt, end)


def test_a_run_that_would_replace_a_file_of_the_users_does_not_begin(config, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(WouldReplace):
        launch(config, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_folder_with_a_run_is_refused_before_the_weights_are_evaluated(
    config, weights, tmp_path
):
    (tmp_path / "run/checkpoints/7").mkdir(parents=True)

    def evaluators(config, model):
        pytest.fail("the weights are evaluated")

    with pytest.raises(ValueError, match="holds a run at step 7: go on with it"):
        launch(
            config, out=tmp_path / "run", initial=str(weights), evaluators=evaluators
        )


def test_without_initial_weights_there_are_none_and_no_cache(config):
    model = config.build_model()
    assert initial_params(config, model, None) is None
    assert source_factory(config, model, None) is make_discs


def test_initial_weights_of_other_sizes_are_refused(config, weights):
    model = dataclasses.replace(config.model, decoder_mlp_dim=32)
    other = dataclasses.replace(config, model=model)
    with pytest.raises(InitialWeightsError, match="other sizes"):
        initial_params(other, other.build_model(), str(weights))
    params = initial_params(config, config.build_model(), str(weights))
    assert params is not None
    # How it is computed is the config's, whatever the weights were trained with.
    model = dataclasses.replace(config.model, drop_path_rate=0.2, remat=True)
    other = dataclasses.replace(config, model=model)
    assert initial_params(other, other.build_model(), str(weights)) is not None
