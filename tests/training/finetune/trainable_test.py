"""Only trainable parameters change, have gradients and have optimizer state."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import random_params
from training.discs import disc_batch

from samjax.models import Sam
from samjax.models.params import ADAPTERS, FOURIER_MATRIX, join
from samjax.training.finetune.lora import LoraConfig, add_lora, merge_lora
from samjax.training.finetune.trainable import merge_params, split_params
from samjax.training.optimizer import OptimizerConfig, make_optimizer
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.step import StepConfig, batch_loss

CONFIG = StepConfig(
    prompts=PromptSimulationConfig(
        correction_points=0, refine_at_random=False, refine_at_end=False, remat=False
    )
)
LORA = LoraConfig(rank=2)


def paths(tree):
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(key.key for key in path) for path, _ in leaves}


@pytest.mark.parametrize(
    ("preset", "parts"),
    [
        ("all", {"image_encoder", "prompt_encoder", "mask_decoder"}),
        ("decoder", {"mask_decoder"}),
        ("decoder_and_prompts", {"mask_decoder", "prompt_encoder"}),
        (
            "neck_and_decoder",
            {"image_encoder/neck_", "mask_decoder", "prompt_encoder"},
        ),
    ],
)
def test_the_two_parts_are_the_whole_and_the_fourier_matrix_is_never_trained(
    params, preset, parts
):
    trainable, frozen = split_params(params, preset)
    expected = {path for path in paths(params) if path.startswith(tuple(parts))}
    assert paths(trainable) == expected - {join(FOURIER_MATRIX)}
    assert all(any(path.startswith(part) for path in expected) for part in parts)
    assert paths(frozen) == (paths(params) - expected) | {join(FOURIER_MATRIX)}
    merged = merge_params(trainable, frozen)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, merged, params)


def test_adapters_are_trained_whatever_else_is(params):
    adapted = add_lora(jax.random.key(1), params, LORA)
    for preset, parts in (("adapters", set()), ("decoder", {"mask_decoder"})):
        trainable, frozen = split_params(adapted, preset)
        assert set(trainable) == {ADAPTERS} | parts
        assert ADAPTERS not in frozen


@pytest.mark.parametrize(
    ("preset", "lora", "said"),
    [
        ("adapters", LoraConfig(), "trains nothing"),
        ("all", LORA, "adapters on it"),
        ("decoder", LoraConfig(rank=1, encoder=(), decoder=("q",)), "adapters on it"),
    ],
)
def test_a_preset_that_makes_no_sense_says_what_to_do(params, preset, lora, said):
    adapted = add_lora(jax.random.key(1), params, lora)
    with pytest.raises(ValueError, match=said):
        split_params(adapted, preset)


def test_parts_that_overlap_are_refused(params):
    trainable, _ = split_params(params, "decoder")
    with pytest.raises(ValueError, match="in both parts"):
        merge_params(trainable, params)


def loss_of(trainable, frozen, batch, key, model):
    merged = merge_lora(merge_params(trainable, frozen), LORA)
    return batch_loss(merged, batch, key, model, CONFIG)[0]


def gradient_of(params, batch, key, *, model, preset):
    trainable, frozen = split_params(params, preset)
    return jax.grad(loss_of)(trainable, frozen, batch, key, model)


@pytest.mark.parametrize("preset", ["adapters", "decoder"])
def test_what_is_trained_moves_and_not_a_bit_of_the_rest(params, preset):
    adapted = add_lora(jax.random.key(1), params, LORA)
    trainable, frozen = split_params(adapted, preset)
    optimizer = make_optimizer(
        OptimizerConfig(decay_exempt=(), warmup_steps=1),
        trainable,
        depth=2,
        total_steps=9,
    )

    @jax.jit
    def take(adapted):
        def loss(trainable):
            merged = merge_lora(merge_params(trainable, frozen), LORA)
            return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(merged))

        trainable, frozen = split_params(adapted, preset)
        state = optimizer.init(trainable)
        updates, state = optimizer.update(jax.grad(loss)(trainable), state, trainable)
        return merge_params(optax.apply_updates(trainable, updates), frozen), state

    after, state = take(adapted)
    later, same = split_params(after, preset)
    jax.tree.map(np.testing.assert_array_equal, frozen, same)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), trainable, later)
    assert all(jax.tree.leaves(moved))

    # Two moments of Adam for every number that is trained, and a few counters.
    numbers = sum(leaf.size for leaf in jax.tree.leaves(trainable))
    kept = sum(leaf.size for leaf in jax.tree.leaves(state))
    assert 2 * numbers <= kept <= 2 * numbers + 10


def test_a_frozen_encoder_is_run_forward_and_never_backward(mini_config):
    """Counted in operations of the program: blocks cost once what they cost forward."""

    def operations(depth, preset):
        config = dataclasses.replace(
            mini_config, depth=depth, global_attention_blocks=()
        )
        model = Sam(config)
        params = jax.tree.map(jnp.float32, random_params(model, seed=0))
        if preset == "adapters":
            params = add_lora(jax.random.key(1), params, LORA)
        if preset == "forward":

            def program(params, batch, key):
                return batch_loss(params, batch, key, model, CONFIG)
        else:
            program = functools.partial(gradient_of, model=model, preset=preset)
        lowered = jax.jit(program).lower(params, disc_batch(0), jax.random.key(0))
        return lowered.cost_analysis()["flops"]

    blocks = {
        preset: operations(3, preset) - operations(2, preset)
        for preset in ("forward", "decoder", "adapters")
    }
    assert blocks["forward"] > 0
    assert blocks["decoder"] == blocks["forward"]
    # Where it has adapters it is run backward too, so the count can tell.
    assert blocks["adapters"] > 1.8 * blocks["forward"]
