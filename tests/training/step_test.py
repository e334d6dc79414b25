import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.discs import disc_batch

from samjax.models import Sam
from samjax.training.finetune.trainable import split_params
from samjax.training.optimizer import OptimizerConfig, make_optimizer
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.step import (
    StepConfig,
    batch_loss,
    init_params,
    init_state,
    train_step,
)

# Compiling is nearly all of the time here: what tests can share, they share.
PROMPTS = PromptSimulationConfig(
    correction_points=1, refine_at_random=False, remat=False
)
CONFIG = StepConfig(prompts=PROMPTS)
OPTIMIZER = OptimizerConfig(
    peak_learning_rate=3e-3,
    warmup_steps=5,
    schedule="linear",
    final_fraction=1.0,
    layer_decay=1.0,
    clip_norm=1.0,
)


@pytest.fixture(scope="module")
def params(mini_config):
    return init_params(jax.random.key(0), Sam(mini_config))


GRADIENT = jax.jit(jax.value_and_grad(batch_loss, has_aux=True), static_argnums=(3, 4))
LOSS = jax.jit(batch_loss, static_argnums=(3, 4))


def train_on_one_batch(model, params, config, steps):
    """The states after all steps, the losses, and the last metrics."""
    trained, _ = split_params(params, config.trainable)
    optimizer = make_optimizer(OPTIMIZER, trained, depth=2, total_steps=steps)
    step = jax.jit(
        functools.partial(train_step, model=model, optimizer=optimizer, config=config)
    )
    states, losses = [init_state(params, optimizer, config)], []
    for i in range(steps):
        state, metrics = step(states[-1], disc_batch(0), jax.random.key(i))
        states.append(state)
        losses.append(float(metrics["loss"]))
    return states, losses, metrics


@pytest.fixture(scope="module")
def trained(mini_config, params):
    config = dataclasses.replace(CONFIG, ema_decay=0.75)
    return train_on_one_batch(Sam(mini_config), params, config, 80)


def test_the_loss_falls_and_masks_get_better_on_a_fixed_batch(trained):
    states, losses, metrics = trained
    assert [int(state.step) for state in states] == list(range(81))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    assert metrics["iou_last"] > 0.5


def test_the_fourier_matrix_is_the_same_after_training(trained):
    states, *_ = trained
    first, last = (
        state.params["prompt_encoder"]["pe_layer"] for state in (states[0], states[-1])
    )
    jax.tree.map(np.testing.assert_array_equal, first, last)


def test_the_moving_average_follows_the_parameters(trained):
    states, *_ = trained
    first, fifth = (split_params(states[i].params, "all")[0] for i in (0, 5))
    jax.tree.map(np.testing.assert_array_equal, states[0].ema_params, first)
    jax.tree.map(
        lambda before, after, params: np.testing.assert_allclose(
            after, 0.75 * before + 0.25 * params, atol=1e-6
        ),
        states[4].ema_params,
        states[5].ema_params,
        fifth,
    )


def test_bfloat16_learns_and_keeps_float32_parameters(mini_config, params):
    model = Sam(mini_config, dtype=jnp.bfloat16)
    states, losses, _ = train_on_one_batch(model, params, CONFIG, 15)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])
    for leaf in jax.tree.leaves(states[-1].params):
        assert leaf.dtype == jnp.float32


def loss_and_gradient(model, params, batch):
    (loss, _), gradient = GRADIENT(params, batch, jax.random.key(1), model, CONFIG)
    return loss, gradient


def assert_same(ours, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        ours,
        expected,
    )


def test_what_is_in_invalid_slots_does_not_matter(mini_config, params):
    batch = disc_batch(3)
    valid = batch.valid.at[:, 1].set(False)
    noise = jax.random.bernoulli(jax.random.key(2), shape=batch.masks[:, 1].shape)
    model = Sam(mini_config)
    results = [
        loss_and_gradient(
            model,
            params,
            batch._replace(valid=valid, masks=batch.masks.at[:, 1].set(content)),
        )
        for content in (noise, jnp.zeros_like(noise))
    ]
    assert_same(*results)


def test_a_batch_without_any_mask_gives_zero_loss_and_gradient(mini_config, params):
    batch = disc_batch(3)
    batch = batch._replace(valid=jnp.zeros_like(batch.valid))
    loss, gradient = loss_and_gradient(Sam(mini_config), params, batch)
    assert loss == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_what_is_in_the_padding_does_not_matter(mini_config, params):
    batch = disc_batch(3)._replace(sizes=jnp.array([[24, 32], [32, 20]]))
    outside = (jnp.arange(32)[None, :, None] >= batch.sizes[:, :1, None]) | (
        jnp.arange(32)[None, None, :] >= batch.sizes[:, 1:, None]
    )
    images = jnp.where(outside[..., None], jnp.uint8(99), batch.images)
    masks = batch.masks | outside[:, None]
    model = Sam(mini_config)
    results = [
        loss_and_gradient(model, params, each)
        for each in (batch, batch._replace(images=images, masks=masks))
    ]
    assert_same(*results)


def test_the_step_depends_on_its_key_and_on_nothing_else(mini_config, params):
    model, batch = Sam(mini_config), disc_batch(0)
    again = [
        LOSS(params, batch, jax.random.key(seed), model, CONFIG)[0]
        for seed in (1, 1, 2)
    ]
    assert again[0] == again[1] != again[2]


def test_drop_path_is_on_in_training(mini_config, params):
    config = dataclasses.replace(mini_config, drop_path_rate=0.9)
    batch = disc_batch(0)
    with_drop, without = (
        LOSS(params, batch, jax.random.key(1), Sam(c), CONFIG)[0]
        for c in (config, mini_config)
    )
    assert with_drop != without


def test_losses_of_rounds_are_summed_or_averaged(mini_config, params):
    model, batch = Sam(mini_config), disc_batch(0)
    mean = dataclasses.replace(CONFIG.losses, rounds="mean")
    summed, averaged = (
        float(LOSS(params, batch, jax.random.key(1), model, config)[0])
        for config in (CONFIG, dataclasses.replace(CONFIG, losses=mean))
    )
    assert summed == pytest.approx(3 * averaged, rel=1e-5)


def test_the_loss_on_the_embedding_is_added_with_its_weight(mini_config, params):
    model, batch = Sam(mini_config), disc_batch(0)
    losses = dataclasses.replace(CONFIG.losses, grouping_weight=2.0)
    plain, both = (
        LOSS(params, batch, jax.random.key(1), model, config)
        for config in (CONFIG, dataclasses.replace(CONFIG, losses=losses))
    )
    grouping = float(both[1]["grouping"])
    assert grouping > 0 and "grouping" not in plain[1]
    assert float(both[0]) == pytest.approx(float(plain[0]) + 2 * grouping, rel=1e-5)
