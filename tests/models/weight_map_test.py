"""The table names every array of every model, once, in every naming."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.models import SIZES, PromptInputs, Sam, SamConfig
from samjax.models.weight_map import LAYOUTS, Entry, entries, tree_path

PARAMETERS = {
    "vit_b": 93_735_728,
    "vit_l": 312_343_088,
    "vit_h": 641_090_864,
    "small": 26_274_480,
    "tiny": 8_092_912,
}
ENTRIES = {"vit_b": 314, "vit_l": 482, "vit_h": 594, "small": 316, "tiny": 258}


@pytest.fixture
def config() -> SamConfig:
    """Sizes of which no two are equal where the table could mix them up."""
    return SamConfig(
        image_size=80,
        embed_dim=24,
        depth=3,
        num_heads=2,
        global_attention_blocks=(1,),
        window_size=2,
        mlp_ratio=3.0,
        prompt_embed_dim=64,
        mask_in_chans=20,
        decoder_mlp_dim=40,
    )


def model_shapes(config) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Path to shape of every parameter, as the model itself makes them."""
    side, low_res = config.image_size, 4 * config.grid_size
    prompts = PromptInputs(
        jnp.zeros((1, 1, 1, 2)),
        jnp.zeros((1, 1, 1), jnp.int32),
        jnp.zeros((1, 1, low_res, low_res)),
    )
    params = jax.eval_shape(
        Sam(config).init, jax.random.key(0), jnp.zeros((1, side, side, 3)), prompts
    )["params"]
    return {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


@pytest.mark.parametrize("name", SIZES)
def test_the_table_is_the_models_parameter_tree(name):
    shapes = model_shapes(SIZES[name])
    table = {entry.path: entry.tree_shape for entry in entries(SIZES[name])}
    assert table == shapes
    assert len(entries(SIZES[name])) == len(table) == ENTRIES[name]
    assert sum(map(math.prod, shapes.values())) == PARAMETERS[name]


def test_the_table_follows_every_size_of_a_config(config):
    assert {e.path: e.tree_shape for e in entries(config)} == model_shapes(config)


def test_a_final_norm_is_two_more_entries(config):
    with_norm = dataclasses.replace(config, final_norm=True)
    added = {e.path: e.released for e in entries(with_norm)}
    assert {e.path: e.tree_shape for e in entries(with_norm)} == model_shapes(with_norm)
    for entry in entries(config):
        del added[entry.path]
    assert added == {
        ("image_encoder", "norm", "scale"): "image_encoder.norm.weight",
        ("image_encoder", "norm", "bias"): "image_encoder.norm.bias",
    }


@pytest.mark.parity
def test_released_names_and_shapes_are_those_of_the_reference(config):
    import reference

    state = reference.build_reference(config).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        entry.released: entry.shape for entry in entries(config)
    }


@pytest.mark.parametrize("name", SIZES)
def test_no_name_is_taken_twice(name):
    table = entries(SIZES[name])
    for names in (
        {entry.released for entry in table},
        {entry.hugging_face for entry in table},
        {entry.path for entry in table},
    ):
        assert len(names) == len(table)


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
@given(data=st.data())
def test_every_layout_change_inverts(kind, data):
    order = LAYOUTS[kind][1]
    shape = tuple(data.draw(st.integers(1, 4)) for _ in order)
    entry = Entry(released="", hugging_face="", path=(), shape=shape, order=order)
    array = np.arange(math.prod(shape)).reshape(shape)
    there = entry.to_tree(array)
    assert there.shape == entry.tree_shape
    assert np.array_equal(entry.to_released(there), array)


def test_kernels_have_their_axes_where_the_model_wants_them():
    # One letter an axis, so that a permutation that merely inverts is not enough.
    sizes = {"o": 2, "i": 3, "h": 5, "w": 7}
    for kind, released, ours in (
        ("linear", "oi", "io"),
        ("conv", "oihw", "hwio"),
        ("conv_transpose", "iohw", "ihwo"),
    ):
        moved = np.zeros([sizes[axis] for axis in released]).transpose(LAYOUTS[kind][1])
        assert moved.shape == tuple(sizes[axis] for axis in ours), kind


def test_numbers_in_names_are_glued_to_the_name_before_them():
    assert tree_path("image_encoder.neck.0") == ("image_encoder", "neck_0")
    assert tree_path("mask_decoder.output_hypernetworks_mlps.3.layers.1") == (
        "mask_decoder",
        "output_hypernetworks_mlps_3",
        "layers_1",
    )
