"""Prompts of one image answered together are answered as they are one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from conftest import random_params

from samjax.models import ABSENT, PromptInputs, Sam
from samjax.models.amortized import factors as module

GRID = (6, 8)


def embedding(offset=0.0):
    return offset + jax.random.normal(jax.random.key(2), (*GRID, 256))


def some_prompts(sets=5, number=3):
    keys = jax.random.split(jax.random.key(3), 2)
    points = jax.random.uniform(keys[0], (sets, number, 2), maxval=64.0)
    return points, jax.random.randint(keys[1], (sets, number), ABSENT, 4)


def both_ways(model, params, features, points, labels):
    """Logits and scores, by `decode` and from what the prompts share."""

    def run(params, features, points, labels):
        variables = {"params": params}
        prompts = PromptInputs(points[None], labels[None])
        expected = model.apply(variables, features[None], prompts, method="decode")
        shared = model.apply(variables, features, method="share")
        answered = model.apply(variables, shared, prompts, GRID, method="answer")
        logits = model.apply(variables, shared, answered, GRID, method="draw_answered")
        return (
            (expected.low_res_logits[0], expected.iou_predictions[0]),
            (logits, answered.iou_predictions),
        )

    return jax.jit(run)(params, features, points, labels)


def deviation(expected, found):
    """The largest difference, in units of the root mean square of the logits."""
    return max(
        float(jnp.abs(b - a).max() / jnp.sqrt(jnp.mean(jnp.square(a))))
        for a, b in zip(expected, found, strict=True)
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_answers_are_those_of_the_image_side_written_out(small_config, depth):
    config = dataclasses.replace(small_config, decoder_depth=depth)
    model = Sam(config)
    params = random_params(model, seed=0)
    assert deviation(*both_ways(model, params, embedding(), *some_prompts())) < 2e-5


@pytest.mark.parametrize("sets", [1, 7])
def test_any_number_of_prompts_is_answered(tiny_model, sets):
    model, params = tiny_model
    prompts = some_prompts(sets, 1)
    assert deviation(*both_ways(model, params, embedding(), *prompts)) < 2e-5


def test_an_embedding_far_from_zero_loses_no_digits(tiny_model):
    # What the norm subtracts is taken from the embedding, and not from its square.
    model, params = tiny_model
    features = embedding(offset=100.0)
    assert deviation(*both_ways(model, params, features, *some_prompts())) < 2e-4


def test_what_tokens_add_may_be_much_larger_than_the_embedding(tiny_model):
    model, params = tiny_model[0], jax.tree.map(lambda x: x, tiny_model[1])
    for layer in ("layers_0", "layers_1"):
        attention = params["mask_decoder"]["transformer"][layer][
            "cross_attn_image_to_token"
        ]
        kernel = attention["out_proj"]["kernel"]
        attention["out_proj"]["kernel"] = 100.0 * kernel
    found = both_ways(model, params, embedding(), *some_prompts())
    assert deviation(*found) < 1e-4


def test_bfloat16_stays_as_near_to_float32_as_the_image_side_written_out(
    small_config, tiny_model
):
    model, params = tiny_model
    exact, _ = both_ways(model, params, embedding(), *some_prompts())
    rounded, shared = both_ways(
        Sam(small_config, dtype=jnp.bfloat16), params, embedding(), *some_prompts()
    )
    assert deviation(exact, shared) < 2.0 * deviation(exact, rounded)


BROKEN = {
    "constants are added where the weights of a head sum to one": (
        "_with_constant",
        lambda values: jnp.pad(values, ((0, 0), (0, 0), (0, 0), (0, 1))),
    ),
    "the norm subtracts the mean": ("_centred", lambda x: x),
}


@pytest.mark.parametrize("trap", BROKEN)
def test_shared_image_avoids_the_trap(trap, tiny_model, monkeypatch):
    model, params = tiny_model
    monkeypatch.setattr(module, *BROKEN[trap])
    assert deviation(*both_ways(model, params, embedding(), *some_prompts())) > 1e-2
