import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_params
from training.discs import disc_batch

from samjax.models import Sam
from samjax.training.microbatches import accumulate_gradients, map_masks, num_parts
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.step import StepConfig, batch_loss


@pytest.mark.parametrize(
    ("images", "masks", "at_a_time", "expected"),
    [
        (4, 64, None, (1, 1)),
        (4, 64, 256, (1, 1)),
        (4, 64, 255, (2, 1)),
        (4, 64, 64, (4, 1)),
        (4, 64, 63, (4, 2)),
        (4, 64, 16, (4, 4)),
        (4, 64, 1, (4, 64)),
        (6, 10, 29, (3, 1)),
        (6, 10, 4, (6, 5)),
        (1, 7, 6, (1, 7)),
    ],
)
def test_parts_are_as_few_as_the_bound_allows(images, masks, at_a_time, expected):
    assert num_parts(images, masks, at_a_time) == expected


@pytest.mark.parametrize("at_a_time", [None, 1, 2, 4, 8, 11, 24, 100])
def test_values_and_gradients_are_those_of_the_whole(at_a_time):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    masks = (
        jnp.asarray(rng.normal(size=(6, 4, 2)), jnp.float32),
        jax.random.split(jax.random.key(0), (6, 4)),
    )
    seen = []

    def function(images, masks):
        values, keys = masks
        seen.append(values.shape[0] * values.shape[1])
        noise = jax.vmap(jax.vmap(lambda key: jax.random.normal(key)))(keys)
        product = jnp.sum(images, -1)[:, None] * jnp.prod(values, -1) + noise
        return {"rounds": jnp.stack([product, product**2]), "cubes": product**3}

    def total(images, values, at_a_time):
        results = map_masks(function, images, (values, masks[1]), at_a_time)
        weights = jnp.arange(24.0).reshape(6, 4) / 24
        return jnp.sum(results["rounds"] * weights[None]) + jnp.sum(
            results["cubes"]
        ), results

    of = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
    whole = of(images, masks[0], None)
    seen.clear()
    ours = of(images, masks[0], at_a_time)
    assert max(seen) <= (at_a_time or 24)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, whole
    )


def test_a_step_learns_the_same_from_few_masks_at_a_time(mini_config):
    model = Sam(mini_config)
    params = random_params(model, seed=0)
    batch = disc_batch(0)
    prompts = PromptSimulationConfig(
        correction_points=1, refine_at_random=False, refine_at_end=False
    )

    def learn(at_a_time):
        config = StepConfig(
            prompts=dataclasses.replace(prompts, masks_at_a_time=at_a_time)
        )
        loss = functools.partial(batch_loss, model=model, config=config)
        gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
        return gradient(params, batch, jax.random.key(1))

    (loss, metrics), gradient = learn(None)
    (ours, our_metrics), our_gradient = learn(2)
    np.testing.assert_allclose(ours, loss, rtol=1e-5)
    for name, value in metrics.items():
        np.testing.assert_allclose(our_metrics[name], value, rtol=1e-4, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        our_gradient,
        gradient,
    )


def test_a_bound_below_one_is_refused():
    with pytest.raises(ValueError, match="masks_at_a_time=0"):
        PromptSimulationConfig(masks_at_a_time=0)


def gradient_of(params, batch, key):
    """Gradient of the mean of a function of two parameters over a batch's valid masks."""
    del key

    def loss(params):
        values = jnp.sin(params["a"] * batch["x"]) + params["b"] * batch["x"] ** 2
        total = jnp.sum(jnp.where(batch["valid"], values, 0.0))
        num_valid = jnp.sum(batch["valid"])
        mean = total / jnp.maximum(num_valid, 1)
        counts = {"masks": num_valid, "bad_examples": jnp.sum(batch["status"] > 0)}
        return mean, {"loss": mean, "half": mean / 2, **counts}

    return jax.value_and_grad(loss, has_aux=True)(params)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    valid = rng.random((12, 5)) < 0.4
    # A microbatch of three images without any mask, and one with many.
    valid[0::4], valid[1::4] = False, True
    return {
        "x": jnp.asarray(rng.normal(size=(12, 5)), jnp.float32),
        "valid": jnp.asarray(valid),
        "status": jnp.asarray(rng.integers(0, 2, 12), jnp.int32),
    }


PARAMS = {"a": jnp.float32(0.7), "b": jnp.float32(-0.2)}


@pytest.mark.parametrize("num", [2, 3, 4, 12])
def test_any_num_valid_of_microbatches_gives_the_mean_over_all_valid_masks(batch, num):
    run = jax.jit(accumulate_gradients, static_argnums=(0, 4))
    whole = run(gradient_of, PARAMS, batch, jax.random.key(0), 1)
    split = run(gradient_of, PARAMS, batch, jax.random.key(0), num)
    assert split[0]["masks"] == whole[0]["masks"] == batch["valid"].sum()
    assert split[0]["bad_examples"] == (batch["status"] > 0).sum()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6),
        split,
        whole,
    )


def test_a_batch_without_any_mask_gives_zero(batch):
    batch["valid"] = jnp.zeros_like(batch["valid"])
    metrics, gradients = accumulate_gradients(
        gradient_of, PARAMS, batch, jax.random.key(0), num_microbatches=3
    )
    assert metrics["loss"] == 0
    assert gradients == {"a": 0.0, "b": 0.0}


def test_every_microbatch_has_a_key_of_its_own(batch):
    def noise(params, batch, key):
        del batch
        value = jax.random.normal(key)
        metrics = {"loss": value, "square": value**2, "masks": jnp.int32(1)}
        return (value, metrics), params

    metrics, _ = accumulate_gradients(
        noise, PARAMS, batch, jax.random.key(0), num_microbatches=4
    )
    assert metrics["square"] - metrics["loss"] ** 2 > 1e-3


def test_microbatches_that_are_not_equal_are_refused(batch):
    with pytest.raises(ValueError, match="12 images cannot be split into 5"):
        accumulate_gradients(
            gradient_of, PARAMS, batch, jax.random.key(0), num_microbatches=5
        )
