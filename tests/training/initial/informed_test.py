import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.models import Sam
from samjax.training.initial.informed import (
    align_cross_attention,
    spread_frequencies,
    whiten_patches,
)
from samjax.training.step import init_params


@pytest.fixture(scope="module")
def params(mini_config):
    return init_params(jax.random.key(0), Sam(mini_config))


def smooth_images(seed=0):
    """Pictures as photos are: nearly all of a patch is its mean colour."""
    coarse = jax.random.normal(jax.random.key(seed), (64, 8, 8, 3))
    images = jax.image.resize(coarse, (64, 32, 32, 3), "cubic")
    return images + 0.05 * jax.random.normal(jax.random.key(seed + 1), images.shape)


def kernel_of(params):
    return params["image_encoder"]["patch_embed"]["proj"]["kernel"]


def project(params, images):
    kernel = kernel_of(params)
    size = kernel.shape[0]
    patches = images.reshape(64, 32 // size, size, 32 // size, size, 3).swapaxes(2, 3)
    return patches.reshape(-1, size * size * 3) @ kernel.reshape(-1, kernel.shape[-1])


def test_channels_of_other_patches_are_uncorrelated_and_of_one_size(params):
    plain = jnp.cov(project(params, smooth_images(7)).T)
    white = jnp.cov(
        project(whiten_patches(params, smooth_images()), smooth_images(7)).T
    )

    def spread(covariance):
        values = jnp.linalg.eigvalsh(covariance)
        return values.max() / values.min()

    assert spread(plain) > 30 and spread(white) < 3
    assert 0.5 < jnp.diag(white).min() and jnp.diag(white).max() < 1.5
    others = white - jnp.diag(jnp.diag(white))
    assert jnp.abs(others).max() < 0.3


def test_what_is_mostly_noise_stays_small(params):
    noise = 0.01 * jax.random.normal(jax.random.key(0), (64, 32, 32, 3))
    assert jnp.var(project(whiten_patches(params, noise), noise)) < 0.01


def test_nothing_else_changes_and_nothing_in_place(params):
    before = jax.tree.map(np.array, params)
    after = whiten_patches(params, smooth_images())
    jax.tree.map(np.testing.assert_array_equal, params, before)
    assert not np.array_equal(kernel_of(after), kernel_of(params))
    after["image_encoder"]["patch_embed"]["proj"]["kernel"] = kernel_of(params)
    jax.tree.map(np.testing.assert_array_equal, params, after)


def test_channels_beyond_the_values_of_a_patch_stay_as_they_were():
    kernel = jnp.arange(2 * 2 * 3 * 16.0).reshape(2, 2, 3, 16)
    params = {"image_encoder": {"patch_embed": {"proj": {"kernel": kernel}}}}
    after = kernel_of(whiten_patches(params, smooth_images()))
    np.testing.assert_array_equal(after[..., 12:], kernel[..., 12:])
    assert not np.isclose(after[..., :12], kernel[..., :12]).any()


def test_neighbouring_patches_are_told_apart_and_distant_ones_still_related(
    mini_config,
):
    model = Sam(dataclasses.replace(mini_config, prompt_embed_dim=256))
    params = init_params(jax.random.key(0), model)

    def likeness(params, cells):
        """Cosine of two places that lie so many cells of a grid of 64 apart."""
        grid = model.apply(
            {"params": params},
            (64, 64),
            method=lambda sam, grid: sam.prompt_encoder.encode_grid(grid),
        )
        row = np.asarray(grid)[20]
        return np.mean(np.sum(row[cells:] * row[: 64 - cells], -1)) / 128

    fine = spread_frequencies(params)
    assert likeness(params, 1) > 0.95
    assert likeness(fine, 1) < 0.9
    assert likeness(fine, 5) > 0.45 * likeness(params, 5) > 0.2
    rest = {**fine, "prompt_encoder": params["prompt_encoder"]}
    jax.tree.map(np.testing.assert_array_equal, rest, params)


def cross_attentions(params):
    transformer = params["mask_decoder"]["transformer"]
    yield transformer["final_attn_token_to_image"]
    for name in ("cross_attn_token_to_image", "cross_attn_image_to_token"):
        yield transformer["layers_0"][name]


def test_a_point_attends_to_the_place_in_the_image_where_it_points(mini_config):
    model = Sam(mini_config)

    def places(params):
        """Which cell of a grid of 8 x 8 each of its cells' centres attends to."""
        grid = model.apply({"params": params}, (8, 8), method=grid_of).reshape(64, -1)
        for attention in cross_attentions(params):
            queries = grid @ attention["q_proj"]["kernel"]
            keys = grid @ attention["k_proj"]["kernel"]
            yield jnp.argmax(queries @ keys.T, axis=1)

    def grid_of(sam, grid):
        return sam.prompt_encoder.encode_grid(grid)

    params = init_params(jax.random.key(0), model)
    for found in places(align_cross_attention(params)):
        assert (found == jnp.arange(64)).mean() > 0.9
    for found in places(params):
        assert (found == jnp.arange(64)).mean() < 0.2


def test_what_is_gathered_arrives_in_the_channels_that_it_came_from(params):
    for attention in cross_attentions(align_cross_attention(params)):
        through = attention["v_proj"]["kernel"] @ attention["out_proj"]["kernel"]
        assert jnp.diag(through).min() > 3 * jnp.abs(jnp.mean(through))
        np.testing.assert_allclose(through, through.T, atol=1e-6)


def test_nothing_but_cross_attention_is_aligned(params):
    before = jax.tree.map(np.array, params)
    after = align_cross_attention(params)
    jax.tree.map(np.testing.assert_array_equal, params, before)
    changed = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, same in jax.tree_util.tree_leaves_with_path(
            jax.tree.map(np.array_equal, params, after)
        )
        if not same
    }
    transformer = "mask_decoder/transformer"
    assert changed == {
        f"{transformer}/{name}/{part}/kernel"
        for name in (
            "final_attn_token_to_image",
            "layers_0/cross_attn_token_to_image",
            "layers_0/cross_attn_image_to_token",
        )
        for part in ("k_proj", "out_proj")
    }
