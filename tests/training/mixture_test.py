"""Runs on mixtures: exact resume, losses by weight, and their config."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from conftest import random_params
from data.finetune.files import coco_folder
from training.small_run import run_config

from samjax.cli.arguments import parse
from samjax.cli.train import Train
from samjax.data.batch import RunBatch
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart, MixtureSource
from samjax.data.synthetic.config import SceneConfig
from samjax.models import Sam
from samjax.training.finetune.cached_embeddings import can_cache_embeddings
from samjax.training.loop import train
from samjax.training.losses import LossConfig
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.runtime.sources import make_source
from samjax.training.step import StepConfig, batch_loss

SCENES = SceneConfig(num_objects=3, min_objects=1, camera=False)


def mixture(folder, **changes) -> MixtureConfig:
    photos = DatasetConfig(path=str(folder), format="coco", flip=True)
    parts = (
        MixturePart(data=photos, weight=3.0),
        MixturePart(scenes=SCENES, loss_weight=0.5),
    )
    return MixtureConfig(parts=parts, boundaries_per_mask=64, **changes)


@pytest.fixture
def config(tmp_path):
    """A run of a few steps on two photos and on scenes."""
    folder = tmp_path / "data"
    coco_folder(folder)
    whole = run_config()
    stage = dataclasses.replace(whole.stages[0], steps=8)
    return dataclasses.replace(whole, stages=(stage,), data=mixture(folder))


def losses(out):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    found = {
        one["step"]: one["loss"] for one in map(json.loads, lines) if "loss" in one
    }
    return [found[step] for step in sorted(found)]


class Broken(Exception):
    """Ends a run between two checkpoints."""


@pytest.mark.exhaustive
def test_a_run_that_broke_goes_on_as_if_it_had_not(config, tmp_path):
    train(config, out=tmp_path / "whole")

    def fail(params):
        raise Broken

    broken = tmp_path / "broken"
    with pytest.raises(Broken):
        train(config, out=broken, evaluators={"fails": fail})
    assert 0 < len(losses(broken)) < 8
    # Read by more threads than before.
    other = dataclasses.replace(config.data, prefetch=3)
    result = train(
        dataclasses.replace(config, data=other), out=broken, resume=True, evaluators={}
    )
    assert result.finished
    assert losses(broken) == losses(tmp_path / "whole") and len(losses(broken)) == 8


GRADIENT = jax.jit(jax.value_and_grad(batch_loss, has_aux=True), static_argnums=(3, 4))
STEP = StepConfig(
    losses=LossConfig(rounds="mean", grouping_weight=0.1),
    prompts=PromptSimulationConfig(
        correction_points=0, refine_at_random=False, refine_at_end=False, remat=False
    ),
)


def gradient_of(config, params, weights):
    """The loss, its gradient as one vector, and the metrics."""
    side = config.image_size
    rng = np.random.default_rng(0)
    runs = np.full((2, 2, 4), side * side, np.int32)
    runs[:, 0, :2] = [3 * side, side * side // 2]
    runs[1, 1, :2] = [5 * side, 8 * side]
    batch = RunBatch(
        images=rng.integers(0, 256, (2, side, side, 3), np.uint8),
        sizes=np.full((2, 2), side, np.int32),
        runs=runs,
        valid=np.array([[True, False], [True, True]]),
        status=np.zeros(2, np.int32),
        bad_masks=np.zeros(2, np.int32),
        index=np.arange(2),
        weights=None if weights is None else np.array(weights, np.float32),
    )
    key = jax.random.key(0)
    (loss, metrics), gradient = GRADIENT(params, batch, key, Sam(config), STEP)
    leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(gradient)]
    return float(loss), np.concatenate(leaves), metrics


def test_weights_multiply_what_each_example_adds(mini_config):
    params = random_params(Sam(mini_config), seed=0)
    loss, gradient, metrics = gradient_of(mini_config, params, None)
    same, gradient_of_ones, _ = gradient_of(mini_config, params, [1, 1])
    np.testing.assert_allclose(same, loss, rtol=1e-6)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(gradient_of_ones, gradient, atol=1e-5 * scale)
    first, of_first, _ = gradient_of(mini_config, params, [1, 0])
    second, of_second, _ = gradient_of(mini_config, params, [0, 1])
    assert min(np.abs(of_first).max(), np.abs(of_second).max()) > 1e-3 * scale
    mixed, of_mixed, weighted = gradient_of(mini_config, params, [2, 0.25])
    np.testing.assert_allclose(mixed, 2 * first + 0.25 * second, rtol=1e-5)
    np.testing.assert_allclose(
        of_mixed, 2 * of_first + 0.25 * of_second, atol=1e-5 * scale
    )
    # What is reported of single losses is not weighted.
    for name in ("dice", "focal", "iou_last", "grouping", "masks"):
        np.testing.assert_allclose(weighted[name], metrics[name], rtol=1e-6)


def test_a_stage_reads_the_mixture_of_its_run(config):
    (stage,) = config.stages
    source = make_source(config, stage)
    assert isinstance(source, MixtureSource)
    batch = source.batch(0)
    source.close()
    assert batch.images.shape == (stage.batch_size, 32, 32, 3)
    assert not can_cache_embeddings(dataclasses.replace(config, trainable="decoder"))


def test_how_a_mixture_is_read_is_no_part_of_what_a_run_is(config):
    def identity(data):
        return dataclasses.replace(config, data=data).identity()

    data = config.data
    faster = dataclasses.replace(data, workers=2, prefetch=9, max_bad_fraction=0.5)
    assert identity(faster) == identity(data)
    first = dataclasses.replace(data.parts[0], weight=2.0)
    other = dataclasses.replace(data, parts=(first, *data.parts[1:]))
    assert identity(other) != identity(data)


def test_fields_of_a_mixture_are_changed_by_name_on_the_command_line(config, tmp_path):
    words = (
        "--data.parts.0.weight 5 --data.workers 2 --data.parts.1.scenes.camouflage 0"
    )
    words += " --data.parts.1.loss-weight 0.25 --data.parts.0.data.jitter 0.5 1.5"
    default = Train(out=tmp_path, config=config)
    wanted = parse(Train, "samjax train", words.split(), default=default)
    data = wanted.config.data
    assert isinstance(data, MixtureConfig)
    assert data.workers == 2 and data.parts[0].weight == 5.0
    assert data.parts[0].data == dataclasses.replace(
        config.data.parts[0].data, jitter=(0.5, 1.5)
    )
    assert data.parts[1].scenes == dataclasses.replace(SCENES, camouflage=0.0)
    assert data.parts[1].loss_weight == 0.25 and data.parts[1].data is None
