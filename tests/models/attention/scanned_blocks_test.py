"""Blocks in loops are the blocks one after another."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from conftest import random_params

from samjax.models import TINY, VIT_B, VIT_H, VIT_L, Sam, SamConfig
from samjax.models.attention.scanned_blocks import blocks_per_stage

CONFIG = SamConfig(
    image_size=64,
    patch_size=8,
    embed_dim=32,
    depth=4,
    num_heads=2,
    global_attention_blocks=(1, 3),
    window_size=3,
    decoder_mlp_dim=64,
    final_norm=True,
)
SCANNED = dataclasses.replace(CONFIG, scan=True)


@pytest.fixture(scope="module")
def params():
    """With a final norm, which comes after the loop."""
    return jax.tree.map(jnp.asarray, random_params(Sam(CONFIG), seed=0))


PIXELS = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))


def embed(config, params, **options):
    model = Sam(config)
    return model.apply({"params": params}, PIXELS, method="encode_image", **options)


def close(ours, theirs):
    rms = float(jnp.sqrt(jnp.mean(jnp.square(theirs))))
    return float(jnp.abs(ours - theirs).max()) < 1e-5 * max(rms, 1e-6)


def test_the_embedding_is_the_same(params):
    assert close(embed(SCANNED, params), embed(CONFIG, params))


def test_the_gradients_are_the_same(params):
    weights = jax.random.normal(jax.random.key(2), (2, 8, 8, 256))

    def gradient(params, config):
        return jax.grad(lambda p: jnp.sum(weights * embed(config, p)))(params)

    gradient = jax.jit(gradient, static_argnums=1)
    plain = gradient(params, CONFIG)["image_encoder"]
    looped = gradient(params, dataclasses.replace(SCANNED, remat=True))
    same = jax.tree.map(close, looped["image_encoder"], plain)
    assert all(jax.tree.leaves(same)), same


def test_parameters_keep_their_names_and_shapes():
    plain, looped = (
        jax.eval_shape(
            functools.partial(Sam(config).init, method="encode_image"),
            jax.random.key(0),
            PIXELS,
        )
        for config in (CONFIG, SCANNED)
    )
    assert looped == plain


def test_the_loop_compiles_one_windowed_block_and_one_global(params):
    traced = jax.make_jaxpr(lambda p: embed(SCANNED, p))(params)
    loops = [e for e in traced.eqns if e.primitive.name == "scan"]
    assert [loop.params["length"] for loop in loops] == [2]


def without(params, blocks):
    """Parameters with which some blocks change nothing."""
    encoder = {
        name: jax.tree.map(jnp.zeros_like, leaf) if name in blocks else leaf
        for name, leaf in params["image_encoder"].items()
    }
    return {**params, "image_encoder": encoder}


def test_drop_path_goes_from_nothing_to_its_rate(params):
    always = dataclasses.replace(SCANNED, drop_path_rate=0.9999)
    outer = without(params, {"blocks_1", "blocks_2"})
    dropped = embed(
        always, outer, deterministic=False, rngs={"drop_path": jax.random.key(3)}
    )
    first = without(outer, {"blocks_3"})
    assert not close(embed(SCANNED, outer), embed(SCANNED, first))
    assert close(dropped, embed(SCANNED, first))


def test_the_released_sizes_have_equal_stages():
    found = {
        name: blocks_per_stage(config.depth, config.global_attention_blocks)
        for name, config in {"b": VIT_B, "l": VIT_L, "h": VIT_H, "tiny": TINY}.items()
    }
    assert found == {"b": 3, "l": 6, "h": 8, "tiny": 4}


@pytest.mark.parametrize(
    ("depth", "blocks"), [(3, (1,)), (4, ()), (6, (2, 4)), (2, (0, 1)), (5, (1, 3))]
)
def test_unequal_stages_are_refused(depth, blocks):
    with pytest.raises(ValueError, match="equal stages"):
        blocks_per_stage(depth, blocks)
