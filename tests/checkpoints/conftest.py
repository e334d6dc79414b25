"""Weights to read and write: a small model of odd sizes, in every naming."""

from pathlib import Path

import jax
import numpy as np
import pytest

from samjax.checkpoints import save
from samjax.checkpoints.weight_map import entries
from samjax.models import SamConfig

# No two sizes are equal where the table could mix them up, and few are the default.
CONFIG = SamConfig(
    image_size=80,
    patch_size=16,
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


@pytest.fixture(scope="session")
def config() -> SamConfig:
    """Sizes of the small model."""
    return CONFIG


@pytest.fixture
def state(rng) -> dict[str, np.ndarray]:
    """A state dict under released names, every number random."""
    return {
        entry.released: rng.standard_normal(entry.shape, np.float32)
        for entry in entries(CONFIG)
    }


@pytest.fixture
def params(state) -> dict:
    """The same numbers as a parameter tree, put together without the reader."""
    tree: dict = {}
    for entry in entries(CONFIG):
        *folders, leaf = entry.path
        place = tree
        for name in folders:
            place = place.setdefault(name, {})
        place[leaf] = entry.to_tree(state[entry.released])
    return tree


@pytest.fixture
def own_file(tmp_path, params) -> Path:
    """The small model in samjax's own form."""
    return save(tmp_path / "own.safetensors", CONFIG, params)


@pytest.fixture
def assert_same():
    """Compares parameter trees bit by bit."""

    def compare(got, expected):
        got, expected = (
            {
                jax.tree_util.keystr(path): leaf
                for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
            }
            for tree in (got, expected)
        )
        assert sorted(got) == sorted(expected)
        for name, leaf in expected.items():
            assert got[name].shape == leaf.shape, name
            assert got[name].dtype == leaf.dtype, name
            assert np.asarray(got[name]).tobytes() == leaf.tobytes(), name

    return compare
