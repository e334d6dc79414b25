import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from training.discs import disc_batch

from samjax.models import Sam
from samjax.models.image_encoder import relative_positions
from samjax.models.prompt_encoder import PromptInputs
from samjax.training.initial.crops import at_crop, crop_tables, draw_origin
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.step import StepConfig, batch_loss, embed, init_params

ORIGIN = jnp.array([4, 2])


@pytest.fixture(scope="module")
def config(mini_config):
    """A grid of 8 x 8 patches, and room for crops."""
    return dataclasses.replace(mini_config, image_size=8 * mini_config.patch_size)


@pytest.fixture(scope="module")
def model(config):
    """A model in whose encoder nothing beyond windows of 2 x 2 patches meets."""
    return Sam(dataclasses.replace(config, window_size=2, global_attention_blocks=()))


def randomized(params):
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    return jax.tree.unflatten(
        tree,
        [
            x + 0.1 * jax.random.normal(k, x.shape)
            for x, k in zip(leaves, keys, strict=True)
        ],
    )


@pytest.fixture(scope="module")
def params(model):
    return randomized(init_params(jax.random.key(0), model))


def crop_of(model, pixels, side):
    size = model.config.patch_size
    x, y = (int(n) * size for n in ORIGIN)
    return pixels[:, y : y + side, x : x + side]


def test_a_crop_is_embedded_as_it_is_within_the_whole(model, params):
    side = 4 * model.config.patch_size
    pixels = jax.random.normal(
        jax.random.key(1), (2, model.config.image_size, model.config.image_size, 3)
    )
    whole = embed(model, params, pixels)
    part = embed(*at_crop(model, params, side, ORIGIN), crop_of(model, pixels, side))
    x, y = ORIGIN
    expected = whole[:, y : y + 4, x : x + 4]
    # The neck's convolution sees zeros around the crop.
    np.testing.assert_allclose(
        part[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], rtol=1e-4, atol=1e-4
    )
    elsewhere = at_crop(model, params, side, ORIGIN - 1)
    elsewhere = embed(*elsewhere, crop_of(model, pixels, side))
    assert not np.allclose(elsewhere[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-2)


def test_global_tables_keep_the_rows_of_distances_within_the_crop(config):
    params = randomized(init_params(jax.random.key(0), Sam(config)))
    side = 3 * config.patch_size
    cropped = flatten_dict(crop_tables(params, config, side, ORIGIN))
    path = ("image_encoder", "blocks_1", "attn", "rel_pos_w")
    whole = flatten_dict(params)[path]
    np.testing.assert_array_equal(
        relative_positions(cropped[path], 3),
        relative_positions(whole, config.grid_size)[:3, :3],
    )
    window = ("image_encoder", "blocks_0", "attn", "rel_pos_w")
    assert cropped[window] is flatten_dict(params)[window]


def test_places_and_prompts_of_a_crop_are_encoded_as_within_the_whole(model, params):
    variables = {"params": params}
    frame = (8, 8)

    def grid(sam, *where):
        return sam.prompt_encoder.encode_grid(*where)

    whole = model.apply(variables, frame, method=grid)
    part = model.apply(variables, (3, 4), frame, ORIGIN, method=grid)
    np.testing.assert_allclose(part, whole[2:5, 4:8], atol=1e-5)

    points = jnp.array([[[[3.0, 5.0], [9.0, 1.0]]]])
    labels = jnp.array([[[1, 0]]])
    embeddings = jax.random.normal(
        jax.random.key(2), (1, 8, 8, model.config.prompt_embed_dim)
    )
    decoded = model.apply(
        variables,
        embeddings,
        PromptInputs(points, labels),
        jnp.zeros(2, int),
        method="decode",
    )
    expected = model.apply(
        variables, embeddings, PromptInputs(points, labels), method="decode"
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), decoded, expected
    )

    part = embeddings[:, 2:6, 4:8]
    moved = points + (ORIGIN * model.config.patch_size).reshape(1, 1, 1, 2)
    tokens = model.apply(
        variables, PromptInputs(moved, labels), frame, method="encode_prompts"
    )
    by_hand = model.apply(
        variables,
        part,
        model.apply(variables, frame, method=grid)[2:6, 4:8],
        tokens,
        method=lambda sam, *given: sam.mask_decoder(*given),
    )
    decoded = model.apply(
        variables, part, PromptInputs(points, labels), ORIGIN, method="decode"
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), decoded, by_hand
    )


def test_crops_lie_everywhere_in_the_input_and_never_beyond(config):
    keys = jax.random.split(jax.random.key(0), 500)
    side = 5 * config.patch_size
    origins = jax.vmap(lambda key: draw_origin(key, config, side))(keys)
    free = config.grid_size - 5
    for axis in origins.T:
        assert sorted(set(axis.tolist())) == list(range(free + 1))
    whole = draw_origin(jax.random.key(0), config, config.image_size)
    assert whole.tolist() == [0, 0]


def test_a_step_on_crops_teaches_only_the_rows_of_the_tables_that_it_read(config):
    model = Sam(config)
    params = init_params(jax.random.key(0), model)
    prompts = PromptSimulationConfig(
        correction_points=0, refine_at_random=False, refine_at_end=False, remat=False
    )
    gradient_of = jax.jit(jax.grad(batch_loss, has_aux=True), static_argnums=(3, 4))

    def touched(crops):
        step = StepConfig(prompts=prompts, crops=crops)
        gradient, _ = gradient_of(params, disc_batch(0), jax.random.key(3), model, step)
        return jnp.any(gradient["image_encoder"]["pos_embed"][0] != 0, axis=-1)

    side = disc_batch(0).images.shape[1] // config.patch_size
    read = touched(True)
    assert read.sum() == side * side < read.size
    assert touched(False).all()
