import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from samjax.models import TINY, VIT_B, Sam
from samjax.models.params import FOURIER_MATRIX, join, map_paths
from samjax.training.optimizer import (
    OptimizerConfig,
    layer_scale,
    make_optimizer,
    make_schedule,
)
from samjax.training.step import init_params

CONSTANT = {"warmup_steps": 1, "schedule": "linear", "final_fraction": 1.0}


def shapes_of(config):
    return jax.eval_shape(lambda key: init_params(key, Sam(config)), jax.random.key(0))


def flat(tree):
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(k.key for k in path): leaf for path, leaf in leaves}


@pytest.mark.parametrize(
    ("path", "exponent"),
    [
        ("image_encoder/pos_embed", 13),
        ("image_encoder/patch_embed/proj/kernel", 13),
        ("image_encoder/blocks_0/attn/qkv/kernel", 12),
        ("image_encoder/blocks_3/attn/rel_pos_h", 9),
        ("image_encoder/blocks_11/mlp/lin2/bias", 1),
        ("image_encoder/norm/scale", 0),
        ("image_encoder/neck_0/kernel", 0),
        ("prompt_encoder/no_mask_embed/embedding", 0),
        ("mask_decoder/transformer/layers_0/norm1/scale", 0),
    ],
)
def test_learning_rates_decay_by_layer_from_the_top_of_the_encoder(path, exponent):
    assert layer_scale(path, 12, 0.6) == pytest.approx(0.6**exponent)


@pytest.mark.parametrize(
    ("path", "factor"),
    [
        ("image_encoder/pos_embed", 0.1 * 0.5**13),
        ("image_encoder/blocks_11/mlp/lin2/bias", 0.1 * 0.5),
        ("image_encoder/norm/scale", 1.0),
        ("image_encoder/neck_2/kernel", 1.0),
        ("mask_decoder/iou_token/embedding", 1.0),
    ],
)
def test_a_pre_trained_encoder_is_slower_than_what_stands_on_it(path, factor):
    assert layer_scale(path, 12, 0.5, encoder_rate=0.1) == pytest.approx(factor)


def test_the_encoders_rate_reaches_the_update(mini_config):
    params, gradients = params_and_gradients(mini_config)
    plain = OptimizerConfig(layer_decay=1.0, weight_decay=0.0, **CONSTANT)
    slow = dataclasses.replace(plain, encoder_rate=0.25)
    moved = {
        name: flat(
            jax.tree.map(jnp.subtract, step_of(config, params, gradients), params)
        )
        for name, config in (("plain", plain), ("slow", slow))
    }
    for path, factor in (
        ("image_encoder/blocks_0/mlp/lin1/kernel", 0.25),
        ("image_encoder/neck_0/kernel", 1.0),
    ):
        np.testing.assert_allclose(
            moved["slow"][path], factor * moved["plain"][path], rtol=1e-3, atol=1e-7
        )


def test_every_parameter_of_the_released_size_has_a_path_that_the_rules_know():
    paths = set(flat(shapes_of(VIT_B)))
    assert join(FOURIER_MATRIX) in paths
    assert len(paths) == 314
    scales = {layer_scale(path, 12, 0.5) for path in paths}
    assert scales == {0.5**k for k in range(14)}


def params_and_gradients(config, seed=0):
    shapes = shapes_of(config)
    rng = np.random.default_rng(seed)

    def draw(leaf):
        return jnp.asarray(rng.normal(size=leaf.shape), jnp.float32)

    return jax.tree.map(draw, shapes), jax.tree.map(draw, shapes)


def step_of(config, params, gradients, depth=2):
    optimizer = make_optimizer(config, params, depth=depth, total_steps=100)

    @jax.jit
    def step(params, gradients):
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        return optax.apply_updates(params, updates)

    return step(params, gradients)


def test_the_fourier_matrix_never_moves(mini_config):
    params, gradients = params_and_gradients(mini_config)
    config = OptimizerConfig(decay_exempt=(), clip_norm=1.0, **CONSTANT)
    after = flat(step_of(config, params, gradients))
    for path, before in flat(params).items():
        moved = bool((after[path] != before).any())
        assert moved == (path != join(FOURIER_MATRIX)), path


def test_a_gradient_at_the_fourier_matrix_does_not_shorten_the_others(mini_config):
    params, gradients = params_and_gradients(mini_config)
    huge = map_paths(lambda path: 1e6 if path == join(FOURIER_MATRIX) else 1.0, params)
    config = OptimizerConfig(clip_norm=1.0, beta1=0.0, beta2=0.0, **CONSTANT)
    optimizer = make_optimizer(config, params, depth=2, total_steps=100)
    plain, _ = optimizer.update(gradients, optimizer.init(params), params)
    scaled = jax.tree.map(jnp.multiply, gradients, huge)
    other, _ = optimizer.update(scaled, optimizer.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, plain, other)


def test_weight_decay_spares_what_it_should(mini_config):
    params, gradients = params_and_gradients(mini_config)
    zero = jax.tree.map(jnp.zeros_like, gradients)
    config = OptimizerConfig(layer_decay=1.0, **CONSTANT)
    after = flat(step_of(config, params, zero))
    shrink = 1 - config.peak_learning_rate * config.weight_decay
    for path, before in flat(params).items():
        leaf = path.rsplit("/", 1)[-1]
        exempt = leaf in ("scale", "bias", "pos_embed", "rel_pos_h", "rel_pos_w")
        factor = 1.0 if exempt or path == join(FOURIER_MATRIX) else shrink
        np.testing.assert_allclose(after[path], factor * before, rtol=1e-6)


def test_decay_and_step_of_a_low_layer_are_both_scaled(mini_config):
    params, gradients = params_and_gradients(mini_config)
    plain = OptimizerConfig(layer_decay=1.0, decay_exempt=(), **CONSTANT)
    decayed = OptimizerConfig(layer_decay=0.5, decay_exempt=(), **CONSTANT)
    before = flat(params)
    full, scaled = (
        flat(step_of(config, params, gradients)) for config in (plain, decayed)
    )
    for path, factor in (
        ("image_encoder/patch_embed/proj/kernel", 0.125),
        ("image_encoder/blocks_1/mlp/lin1/kernel", 0.5),
        ("mask_decoder/iou_token/embedding", 1.0),
    ):
        np.testing.assert_allclose(
            scaled[path] - before[path],
            factor * (full[path] - before[path]),
            rtol=1e-2,
            atol=1e-7,
        )


def test_muon_moves_dense_kernels_orthogonally_and_the_rest_as_adam_does(mini_config):
    params, gradients = params_and_gradients(mini_config)
    plain = OptimizerConfig(layer_decay=1.0, weight_decay=0.0, **CONSTANT)
    muon = dataclasses.replace(plain, matrices="muon", muon_rms=0.5)
    before, slopes = flat(params), flat(gradients)
    after, expected = (flat(step_of(c, params, gradients)) for c in (muon, plain))
    orthogonal = 0
    for path, start in before.items():
        if not path.endswith("kernel") or start.ndim != 2:
            np.testing.assert_array_equal(after[path], expected[path], err_msg=path)
            continue
        update = (after[path] - start) / -plain.peak_learning_rate
        singular = np.linalg.svd(update / max(start.shape) ** 0.5, compute_uv=False)
        # Newton-Schulz leaves them around one, but for the very smallest.
        assert 0.3 < np.quantile(singular, 0.1) / 0.5, path
        assert singular.max() / 0.5 < 1.4, path
        assert np.sum(update * slopes[path]) > 0, path
        orthogonal += 1
    assert orthogonal > 20


def test_the_step_schedule_is_that_of_the_paper():
    rate = make_schedule(OptimizerConfig(), 90_000)
    assert float(rate(0)) == pytest.approx(8e-4 / 250, rel=1e-4)
    assert float(rate(249)) == pytest.approx(8e-4)
    assert float(rate(59_999)) == pytest.approx(8e-4)
    assert float(rate(60_001)) == pytest.approx(8e-5)
    assert float(rate(86_667)) == pytest.approx(8e-6)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_other_schedules_end_at_their_fraction(schedule):
    config = OptimizerConfig(
        schedule=schedule, warmup_steps=10, final_fraction=0.1, peak_learning_rate=1.0
    )
    rate = make_schedule(config, 110)
    rates = [float(rate(i)) for i in range(111)]
    assert rates[0] == pytest.approx(0.1) and rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55, abs=0.01)
    assert rates[110] == pytest.approx(0.1)
    assert all(np.diff(rates[:10]) > 0) and all(np.diff(rates[10:]) < 1e-7)


def test_tiny_has_at_most_twelve_million_parameters():
    total = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(TINY)))
    assert total <= 12_000_000
