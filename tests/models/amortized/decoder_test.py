"""Prompts decoded over a prepared image are decoded as they are one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from conftest import random_params

from samjax.models import ABSENT, PromptInputs, Sam
from samjax.models.amortized import AmortizedDecoder, factors
from samjax.models.amortized import decoder as decoder_module
from samjax.models.amortized.arrays import ArrayTransformer

GRID = (6, 8)


def embedding(offset=0.0):
    return offset + jax.random.normal(jax.random.key(2), (*GRID, 256))


def some_prompts(sets=5, points=3):
    keys = jax.random.split(jax.random.key(3), 2)
    coordinates = jax.random.uniform(keys[0], (sets, points, 2), maxval=64.0)
    return coordinates, jax.random.randint(keys[1], (sets, points), ABSENT, 4)


def plain_and_amortized(model, params, features, points, labels):
    """Logits and scores by `Sam.decode`, and by the amortized decoder."""

    def run(params, features, points, labels):
        prompts = PromptInputs(points[None], labels[None])
        decoder = AmortizedDecoder(model)
        prepared = decoder.prepare_image(params, features)
        return (
            model.apply({"params": params}, features[None], prompts, method="decode"),
            decoder.decode_prompts(params, prepared, prompts),
        )

    return jax.jit(run)(params, features, points, labels)


def deviation(expected, actual):
    """The largest difference, in units of the root mean square of the logits."""
    return max(
        float(jnp.abs(b - a).max() / jnp.sqrt(jnp.mean(jnp.square(a))))
        for a, b in zip(expected, actual, strict=True)
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_masks_are_those_of_the_image_side_written_out(small_config, depth):
    config = dataclasses.replace(small_config, decoder_depth=depth)
    model = Sam(config)
    params = random_params(model, seed=0)
    assert (
        deviation(*plain_and_amortized(model, params, embedding(), *some_prompts()))
        < 2e-5
    )


@pytest.mark.parametrize("sets", [1, 7])
def test_any_number_of_prompts_is_decoded(tiny_model, sets):
    model, params = tiny_model
    prompts = some_prompts(sets, 1)
    assert deviation(*plain_and_amortized(model, params, embedding(), *prompts)) < 2e-5


def test_an_embedding_far_from_zero_loses_no_digits(tiny_model):
    # The mean that a norm subtracts is subtracted from the embedding before squaring.
    model, params = tiny_model
    features = embedding(offset=100.0)
    assert (
        deviation(*plain_and_amortized(model, params, features, *some_prompts())) < 2e-4
    )


def test_the_output_of_attention_may_be_much_larger_than_the_embedding(tiny_model):
    model, params = tiny_model[0], jax.tree.map(lambda x: x, tiny_model[1])
    for layer in ("layers_0", "layers_1"):
        attention = params["mask_decoder"]["transformer"][layer][
            "cross_attn_image_to_token"
        ]
        kernel = attention["out_proj"]["kernel"]
        attention["out_proj"]["kernel"] = 100.0 * kernel
    predictions = plain_and_amortized(model, params, embedding(), *some_prompts())
    assert deviation(*predictions) < 1e-4


def test_bfloat16_stays_as_near_to_float32_as_the_image_side_written_out(
    small_config, tiny_model
):
    model, params = tiny_model
    exact, _ = plain_and_amortized(model, params, embedding(), *some_prompts())
    rounded, amortized = plain_and_amortized(
        Sam(small_config, dtype=jnp.bfloat16), params, embedding(), *some_prompts()
    )
    assert deviation(exact, amortized) < 2.0 * deviation(exact, rounded)


@pytest.mark.parametrize(("least", "drawn"), [(-1e9, True), (1e9, False)])
def test_masks_are_drawn_only_where_scores_are_wanted(tiny_model, least, drawn):
    model, params = tiny_model
    points, labels = some_prompts()
    prompts = PromptInputs(points[None], labels[None])

    @jax.jit
    def decode(params, least):
        decoder = AmortizedDecoder(model)
        prepared = decoder.prepare_image(params, embedding())
        return decoder.decode_prompts(
            params, prepared, prompts
        ), decoder.decode_prompts(
            params,
            prepared,
            prompts,
            masks=slice(1, None),
            draw_if=lambda scores: jnp.any(scores > least),
        )

    every, wanted = decode(params, least)
    logits = every.low_res_logits[:, :, 1:] * drawn
    assert wanted.low_res_logits.shape == (1, 5, 3, 4 * GRID[0], 4 * GRID[1])
    scores = every.iou_predictions[:, :, 1:]
    assert jnp.abs(wanted.iou_predictions - scores).max() < 1e-5
    assert jnp.abs(wanted.low_res_logits - logits).max() < 1e-3


BROKEN = {
    "constants are added where the weights of a head sum to one": (
        ArrayTransformer,
        "append_ones",
        lambda self, values: jnp.pad(values, ((0, 0), (0, 0), (0, 0), (0, 1))),
    ),
    "the norm subtracts the mean": (factors, "_centre", lambda x: x),
    "positions are added to the image's keys and queries": (
        ArrayTransformer,
        "scores",
        lambda self, side, image, vectors: SCORES(
            self, side, image._replace(positions=None), vectors
        ),
    ),
    "the bias of the queries differs by token": (
        ArrayTransformer,
        "scores",
        lambda self, side, image, vectors: SCORES(
            self, side, image._replace(bias=None), vectors
        ),
    ),
    "products of two layers count twice in the variance": (
        factors,
        "add_and_normalize",
        lambda *given: halve_pairs(*NORMALIZE(*given)),
    ),
    "absent tokens are not attended to": (
        ArrayTransformer,
        "softmax_over_tokens",
        lambda self, scores: jax.nn.softmax(scores, axis=2),
    ),
}
SCORES = ArrayTransformer.scores
NORMALIZE = factors.add_and_normalize


def halve_pairs(variance, image):
    pairs = tuple((*(0.5 * m for m in row[:-1]), row[-1]) for row in variance.pairs)
    return variance._replace(pairs=pairs), image


@pytest.mark.parametrize("trap", BROKEN)
def test_the_amortized_decoder_avoids_the_trap(trap, tiny_model, monkeypatch):
    model, params = tiny_model
    place, name, broken = BROKEN[trap]
    monkeypatch.setattr(place, name, broken)
    if hasattr(decoder_module, name):
        monkeypatch.setattr(decoder_module, name, broken)
    predictions = plain_and_amortized(model, params, embedding(), *some_prompts())
    assert deviation(*predictions) > 1e-2
