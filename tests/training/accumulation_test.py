import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.training.accumulation import accumulated


def gradient_of(params, batch, key):
    """Of the mean, over the valid masks of a batch, of a function of two parameters."""
    del key

    def loss(params):
        values = jnp.sin(params["a"] * batch["x"]) + params["b"] * batch["x"] ** 2
        total = jnp.sum(jnp.where(batch["valid"], values, 0.0))
        number = jnp.sum(batch["valid"])
        mean = total / jnp.maximum(number, 1)
        counts = {"masks": number, "bad_examples": jnp.sum(batch["status"] > 0)}
        return mean, {"loss": mean, "half": mean / 2, **counts}

    return jax.value_and_grad(loss, has_aux=True)(params)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    valid = rng.random((12, 5)) < 0.4
    # A part of three images without any mask, and one with many.
    valid[0::4], valid[1::4] = False, True
    return {
        "x": jnp.asarray(rng.normal(size=(12, 5)), jnp.float32),
        "valid": jnp.asarray(valid),
        "status": jnp.asarray(rng.integers(0, 2, 12), jnp.int32),
    }


PARAMS = {"a": jnp.float32(0.7), "b": jnp.float32(-0.2)}


@pytest.mark.parametrize("parts", [2, 3, 4, 12])
def test_any_number_of_parts_gives_the_mean_over_all_valid_masks(batch, parts):
    run = jax.jit(accumulated, static_argnums=(0, 4))
    whole = run(gradient_of, PARAMS, batch, jax.random.key(0), 1)
    ours = run(gradient_of, PARAMS, batch, jax.random.key(0), parts)
    assert ours[0]["masks"] == whole[0]["masks"] == batch["valid"].sum()
    assert ours[0]["bad_examples"] == (batch["status"] > 0).sum()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6), ours, whole
    )


def test_a_batch_without_any_mask_gives_zero(batch):
    batch["valid"] = jnp.zeros_like(batch["valid"])
    metrics, gradients = accumulated(
        gradient_of, PARAMS, batch, jax.random.key(0), parts=3
    )
    assert metrics["loss"] == 0
    assert gradients == {"a": 0.0, "b": 0.0}


def test_every_part_has_a_key_of_its_own(batch):
    def noise(params, batch, key):
        del batch
        value = jax.random.normal(key)
        metrics = {"loss": value, "square": value**2, "masks": jnp.int32(1)}
        return (value, metrics), params

    metrics, _ = accumulated(noise, PARAMS, batch, jax.random.key(0), parts=4)
    assert metrics["square"] - metrics["loss"] ** 2 > 1e-3


def test_parts_that_are_not_equal_are_refused(batch):
    with pytest.raises(ValueError, match="12 images cannot be cut into 5"):
        accumulated(gradient_of, PARAMS, batch, jax.random.key(0), parts=5)
