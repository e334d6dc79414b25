"""Rules of where arrays lie, on meshes that need no devices."""

import math

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from samjax.models import VIT_B, VIT_H, Sam
from samjax.sharding import (
    AXES,
    SMALLEST,
    MeshConfig,
    constrain_batch,
    constrain_params,
    gather_params,
    make_mesh,
    partition,
    rows_of_process,
    shardings,
)
from samjax.training.finetune.trainable import split_params
from samjax.training.optimizer import OptimizerConfig, make_optimizer
from samjax.training.step import StepConfig, init_params, init_state


def abstract(*sizes) -> AbstractMesh:
    return AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * 3)


def state_shapes(config, matrices="adam"):
    shapes = jax.eval_shape(
        lambda key: init_params(key, Sam(config)), jax.random.key(0)
    )
    trained, _ = split_params(shapes, "all")
    optimizer = make_optimizer(
        OptimizerConfig(matrices=matrices), trained, depth=config.depth, total_steps=9
    )
    step = StepConfig(ema_decay=0.9)
    return jax.eval_shape(lambda params: init_state(params, optimizer, step), shapes)


@pytest.fixture(scope="module")
def vit_b():
    return state_shapes(VIT_B)


def test_a_mesh_takes_all_devices_unless_told_otherwise():
    assert MeshConfig().sizes(8) == (8, 1, 1)
    assert MeshConfig(fsdp=2, tensor=2).sizes(8) == (2, 2, 2)
    assert MeshConfig(data=1, fsdp=8).sizes(8) == (1, 8, 1)
    assert make_mesh(MeshConfig()).axis_names == AXES


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (MeshConfig(fsdp=3), "does not fill the 8 devices"),
        (MeshConfig(data=2, fsdp=2), "does not fill the 8 devices"),
        (MeshConfig(tensor=0), "sizes of 1 or more"),
        (MeshConfig(data=0), "sizes of 1 or more"),
    ],
)
def test_a_mesh_that_devices_do_not_fill_is_refused(config, said):
    with pytest.raises(ValueError, match=said):
        config.sizes(8)


@pytest.mark.parametrize("sizes", [(1, 8, 1), (2, 4, 1), (1, 4, 2)])
def test_every_large_array_of_the_state_is_cut_over_fsdp(vit_b, sizes):
    mesh = abstract(*sizes)
    for path, place in jax.tree_util.tree_leaves_with_path(shardings(mesh, vit_b)):
        leaf = _at(vit_b, path)
        is_cut = "fsdp" in place.spec
        assert is_cut == (math.prod(leaf.shape) >= SMALLEST), path
        for side, axis in zip(leaf.shape, place.spec, strict=False):
            assert axis is None or side % mesh.shape[axis] == 0


def _at(tree, path):
    for key in path:
        tree = key_of(tree, key)
    return tree


def key_of(tree, key):
    if isinstance(key, jax.tree_util.DictKey):
        return tree[key.key]
    if isinstance(key, jax.tree_util.GetAttrKey):
        return getattr(tree, key.name)
    return tree[key.idx]


def test_moments_and_averages_lie_where_their_parameter_does(vit_b):
    for shapes in (vit_b, state_shapes(VIT_B, "muon")):
        places = {
            jax.tree_util.keystr(path, simple=True, separator="/"): place.spec
            for path, place in jax.tree_util.tree_leaves_with_path(
                shardings(abstract(1, 4, 2), shapes)
            )
        }
        name = "image_encoder/blocks_3/mlp/lin1/kernel"
        found = {path: spec for path, spec in places.items() if path.endswith(name)}
        assert len(found) >= 3
        assert set(found.values()) == {PartitionSpec("fsdp", "tensor")}


@pytest.mark.parametrize(
    ("path", "shape", "spec"),
    [
        ("image_encoder/blocks_0/attn/qkv/kernel", (768, 2304), ("fsdp", "tensor")),
        ("image_encoder/blocks_0/attn/proj/kernel", (768, 768), ("tensor", "fsdp")),
        ("image_encoder/blocks_9/mlp/lin2/kernel", (3072, 768), ("tensor", "fsdp")),
        # A scan over blocks stacks them.
        ("image_encoder/stages/mlp/lin1/kernel", (3, 768, 3072), (None, "fsdp", "tensor")),
        ("image_encoder/pos_embed", (1, 64, 64, 768), (None, None, None, "fsdp")),
        ("mask_decoder/transformer/layers_0/mlp/lin1/kernel", (256, 2048), ("fsdp", "tensor")),
        ("mask_decoder/transformer/layers_1/self_attn/q_proj/kernel", (256, 256), ("fsdp", "tensor")),
        ("mask_decoder/transformer/final_attn_token_to_image/out_proj/kernel", (128, 256), ("tensor", "fsdp")),
        # Neither axis divides what is left.
        ("image_encoder/patch_embed/proj/kernel", (7, 151, 3, 33), (None,) * 4),
        ("mask_decoder/iou_token/embedding", (1, 256), ()),
    ],
)  # fmt: skip
def test_heads_and_hidden_units_are_cut_over_tensor(path, shape, spec):
    assert partition(path, shape, abstract(1, 4, 2)) == PartitionSpec(*spec)


def test_a_device_of_256_holds_little_of_the_largest_model():
    shapes = state_shapes(VIT_H)
    mesh = abstract(1, 256, 1)
    places = shardings(mesh, shapes)
    held = jax.tree.map(
        lambda leaf, place: 4 * math.prod(place.shard_shape(leaf.shape)), shapes, places
    )
    whole = 4 * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    # Four copies of 641 million numbers, and what does not divide by 256.
    assert whole > 1e10
    assert sum(jax.tree.leaves(held)) < 3 * whole / 256


def test_nothing_is_constrained_where_there_is_one_device(vit_b):
    del vit_b
    tree = {"kernel": jnp.zeros((256, 256))}
    for constrain in (constrain_batch, constrain_params, gather_params):
        assert constrain(tree) is tree
        with jax.set_mesh(make_mesh(MeshConfig())):
            assert str(jax.make_jaxpr(constrain)(tree)).count("sharding") == 0


def test_one_process_provides_all_of_a_batch():
    assert rows_of_process(make_mesh(MeshConfig())) == (0, 1)
