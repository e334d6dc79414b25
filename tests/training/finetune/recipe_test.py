"""The recipe for few images: one for the config file, the rounds and the notebook."""

import pytest

from samjax.data.datasets import DatasetConfig
from samjax.models import TINY
from samjax.training.finetune.cached_embeddings import can_cache_embeddings
from samjax.training.finetune.recipe import few_images_config
from samjax.training.launch import load_config

DATA = DatasetConfig(path="dataset", format="folder", validation_fraction=0.2)


def test_embeddings_are_computed_once():
    assert can_cache_embeddings(few_images_config(TINY, DATA, steps=5))


@pytest.mark.parametrize("steps", [1, 5, 500])
def test_the_warm_up_is_no_longer_than_the_run(steps):
    config = few_images_config(TINY, DATA, steps=steps, evaluate_every=None)
    assert config.optimizer.warmup_steps == min(10, steps)
    assert config.evaluate_every == config.total_steps == steps


def test_the_config_file_is_the_recipe(pytestconfig):
    path = pytestconfig.rootpath / "configs" / "train" / "finetune.py"
    config = load_config(path)
    assert config == few_images_config(TINY, config.data, steps=200)
