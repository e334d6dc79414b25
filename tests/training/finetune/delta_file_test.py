"""The small file of what was trained fits the weights it came from, and no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from conftest import random_params

from samjax.checkpoints import CheckpointError
from samjax.models import Sam
from samjax.models.params import ADAPTERS
from samjax.training.finetune.delta_file import load_trained, save_trained
from samjax.training.finetune.lora import LoraConfig, add_lora, merge_lora
from samjax.training.finetune.trainable import split_params

LORA = LoraConfig(rank=2, alpha=4.0)


@pytest.fixture(scope="module")
def params(mini_config):
    return jax.tree.map(jnp.float32, random_params(Sam(mini_config), seed=0))


def moved(params, preset):
    """Every trained number changed."""
    adapted = add_lora(jax.random.key(1), params, LORA)
    trainable, frozen = split_params(adapted, preset)
    return {**frozen, **jax.tree.map(lambda leaf: leaf + 0.5, trainable)}


@pytest.mark.parametrize("preset", ["adapters", "decoder"])
def test_what_was_trained_comes_back_into_the_weights_it_came_from(
    params, tmp_path, preset
):
    tree = moved(params, preset)
    path = tmp_path / "new" / "trained.safetensors"
    save_trained(path, tree, trainable=preset, lora=LORA, base="vit_b")
    loaded, lora = load_trained(path, params)
    assert lora == LORA
    jax.tree.map(np.testing.assert_array_equal, loaded, tree)
    merged = merge_lora(loaded, lora)
    assert ADAPTERS not in merged
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert path.stat().st_size < whole
    assert [file.name for file in path.parent.iterdir()] == ["trained.safetensors"]
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["base"] == "vit_b"


def test_other_weights_are_refused_by_name(params, mini_config, tmp_path):
    path = tmp_path / "trained.safetensors"
    save_trained(
        path, moved(params, "adapters"), trainable="adapters", lora=LORA, base="mine"
    )
    other = random_params(Sam(mini_config), seed=1)
    with pytest.raises(CheckpointError, match=r"belong.*'mine'"):
        load_trained(path, other)


def test_weights_of_other_shapes_are_refused(params, small_config, tmp_path):
    path = tmp_path / "trained.safetensors"
    save_trained(
        path, moved(params, "decoder"), trainable="decoder", lora=LORA, base="mine"
    )
    with pytest.raises(CheckpointError, match="is of shape"):
        load_trained(path, random_params(Sam(small_config), seed=0))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "no file of trained parts"),
        ({"format": "samjax trained part", "version": "2"}, "version '2'"),
        (
            {
                "format": "samjax trained part",
                "version": "1",
                "frozen_sha256": "",
                "lora": '{"rank": "x"}',
            },
            "damaged",
        ),
        *(
            (
                {
                    "format": "samjax trained part",
                    "version": "1",
                    "frozen_sha256": "",
                    "lora": lora,
                },
                "damaged config of adapters",
            )
            for lora in (
                *("[" * 60_000, "[]", "", "null", '{"rank": Infinity}', '{"rank": []}'),
                *('{"encoder": 3}', '{"encoder": [], "decoder": null}', '{"x": 1}'),
                '{"rank": 2, "alpha": 1e400, "encoder": ["q"], "decoder": []}',
                '{"rank": 2, "alpha": 1, "encoder": ["z"], "decoder": []}',
                '{"rank": 2, "alpha": "1", "encoder": ["q"], "decoder": []}',
                '{"rank": 99999999, "alpha": 1, "encoder": ["q"], "decoder": []}',
            )
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(params, tmp_path, metadata, said):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(1, np.float32)}, path, metadata)
    with pytest.raises(CheckpointError, match=said):
        load_trained(path, params)


@pytest.mark.parametrize("place", [0.01, 0.5, 0.999])
def test_a_changed_bit_is_noticed(params, tmp_path, place):
    path = tmp_path / "trained.safetensors"
    tree = moved(params, "adapters")
    save_trained(path, tree, trainable="adapters", lora=LORA, base="mine")
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start + int(place * (len(content) - start))] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load_trained(path, params)


def test_numbers_that_are_not_finite_are_named(params, tmp_path):
    path = tmp_path / "trained.safetensors"
    tree = moved(params, "adapters")
    tree = jax.tree.map(lambda leaf: leaf * np.float32("inf"), tree)
    save_trained(path, tree, trainable="adapters", lora=LORA, base="mine")
    with pytest.raises(CheckpointError, match="lora/.*infinite of"):
        load_trained(path, params)
