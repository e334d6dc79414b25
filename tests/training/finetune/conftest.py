"""A small model with random parameters, for the tests of fine-tuning."""

import jax
import jax.numpy as jnp
import pytest
from conftest import random_params

from samjax.models import Sam


@pytest.fixture(scope="module")
def model(mini_config):
    return Sam(mini_config)


@pytest.fixture(scope="module")
def params(model):
    return jax.tree.map(jnp.float32, random_params(model, seed=0))
