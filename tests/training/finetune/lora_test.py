"""Adapters start as nothing, learn on their own, and end as plain weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samjax
from samjax import checkpoints
from samjax.models.params import ADAPTERS
from samjax.training.finetune.lora import (
    LoraConfig,
    add_lora,
    apply_lora,
    init_adapters,
    merge_lora,
)

EVERY = ("q", "k", "v", "out", "mlp")
EVERYWHERE = LoraConfig(rank=3, alpha=6.0, encoder=EVERY, decoder=EVERY)


def trained(params, config, seed=1):
    """Adapters with numbers in B too."""
    adapters = init_adapters(jax.random.key(seed), params, config)
    leaves, structure = jax.tree.flatten(adapters)
    rng = np.random.default_rng(seed)
    noise = [jnp.asarray(rng.normal(size=x.shape) * 0.1, jnp.float32) for x in leaves]
    return jax.tree.unflatten(structure, noise)


def flat(tree):
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(key.key for key in path): leaf for path, leaf in leaves}


def test_fresh_adapters_change_not_a_bit(params):
    adapters = init_adapters(jax.random.key(0), params, EVERYWHERE)
    merged = apply_lora(params, adapters, EVERYWHERE)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, merged, params)


def test_without_a_rank_there_are_none(params):
    assert add_lora(jax.random.key(0), params, LoraConfig()) is params
    assert merge_lora(params, LoraConfig()) is params


def test_by_default_queries_and_values_of_every_block_are_adapted(params, mini_config):
    adapters = init_adapters(jax.random.key(0), params, LoraConfig(rank=2))
    side = mini_config.embed_dim
    expected = {
        f"image_encoder/blocks_{block}/attn/qkv/kernel_{part}/{factor}": shape
        for block in range(mini_config.depth)
        for part in "qv"
        for factor, shape in (("a", (side, 2)), ("b", (2, side)))
    }
    assert {path: leaf.shape for path, leaf in flat(adapters).items()} == expected


def test_adapters_of_queries_and_values_leave_the_keys_alone(params):
    config = LoraConfig(rank=2)
    merged = apply_lora(params, trained(params, config), config)
    before = params["image_encoder"]["blocks_1"]["attn"]["qkv"]["kernel"]
    after = merged["image_encoder"]["blocks_1"]["attn"]["qkv"]["kernel"]
    query, key, value = np.split(np.asarray(after - before), 3, axis=1)
    assert np.all(key == 0)
    assert np.linalg.matrix_rank(query) == np.linalg.matrix_rank(value) == 2


def test_every_target_adapts_its_own_matrices_and_no_others(params):
    found = {}
    for part in ("encoder", "decoder"):
        for target in EVERY:
            config = LoraConfig(rank=1, **{"encoder": (), part: (target,)})
            merged = flat(apply_lora(params, trained(params, config), config))
            changed = {
                p for p, leaf in merged.items() if np.any(leaf != flat(params)[p])
            }
            found[part, target] = changed
            assert changed and all(
                path.startswith(f"{_part(part)}/") for path in changed
            )
    assert found["encoder", "q"] == found["encoder", "v"]  # parts of one kernel
    decoder = [found["decoder", target] for target in EVERY]
    assert sum(map(len, decoder)) == len(set.union(*decoder))
    # One layer has three attentions, and there is a final one.
    assert len(found["decoder", "q"]) == len(found["decoder", "out"]) == 4
    assert len(found["decoder", "mlp"]) == 2 and len(found["encoder", "mlp"]) == 4


def _part(name):
    return {"encoder": "image_encoder", "decoder": "mask_decoder"}[name]


def test_the_change_is_alpha_over_rank_times_the_product(params):
    config = LoraConfig(rank=2, alpha=5.0, encoder=("mlp",))
    adapters = trained(params, config)
    merged = apply_lora(params, adapters, config)
    place = "image_encoder/blocks_0/mlp/lin1/kernel"
    a, b = flat(adapters)[f"{place}/a"], flat(adapters)[f"{place}/b"]
    change = flat(merged)[place] - flat(params)[place]
    np.testing.assert_allclose(change, 2.5 * np.asarray(a) @ np.asarray(b), atol=1e-6)


@pytest.mark.parametrize("name", ["tuned.pth", "tuned.safetensors"])
def test_merged_weights_travel_as_any_others(model, params, tmp_path, name):
    tree = {**params, ADAPTERS: trained(params, EVERYWHERE)}
    own = checkpoints.save(tmp_path / "own", model.config, merge_lora(tree, EVERYWHERE))
    checkpoints.convert(own, tmp_path / name)
    _, loaded = samjax.load(tmp_path / name)
    merged = apply_lora(params, tree[ADAPTERS], EVERYWHERE)
    jax.tree.map(np.testing.assert_array_equal, loaded, merged)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": -1}, "use 1 or more"),
        ({"rank": 1, "encoder": ()}, "nothing to adapt"),
    ],
)
def test_settings_that_make_no_sense_say_what_to_do(settings, said):
    with pytest.raises(ValueError, match=said):
        LoraConfig(**settings)


def test_a_rank_above_the_matrix_is_refused(params):
    with pytest.raises(ValueError, match="more than the sides"):
        init_adapters(jax.random.key(0), params, LoraConfig(rank=17))
