"""The released weights are named with all that is needed to check them."""

import dataclasses
import math
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import samjax
from samjax.checkpoints import RELEASES
from samjax.models import SIZES
from samjax.models.weight_map import entries


def test_every_size_has_a_release_under_its_name():
    assert set(RELEASES) == set(SIZES)
    for name, release in RELEASES.items():
        assert release.name == name and release.config is SIZES[name]


@pytest.mark.parametrize("name", RELEASES)
def test_the_parameter_count_is_that_of_the_config(name):
    shapes = (entry.shape for entry in entries(RELEASES[name].config))
    assert sum(map(math.prod, shapes)) == RELEASES[name].parameters


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_official_releases_are_whole_records(name):
    release = RELEASES[name]
    assert release.url is not None and release.url.startswith("https://")
    assert release.url.endswith(f"/{release.file}")
    assert release.sha256 is not None and re.fullmatch("[0-9a-f]{64}", release.sha256)
    assert release.licence == "Apache-2.0"
    # Float32 numbers and some 300 bytes of archive around each tensor.
    assert release.size is not None
    overhead = release.size - 4 * release.parameters
    assert 200 < overhead / len(entries(release.config)) < 500


def test_records_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RELEASES["vit_b"].sha256 = "0" * 64  # type: ignore[misc]


def test_a_mirror_replaces_the_address_but_not_the_hash(monkeypatch):
    before = RELEASES["vit_b"]
    monkeypatch.setenv("SAMJAX_RELEASES_URL", "https://mirror.example/sam/")
    assert before.url == "https://mirror.example/sam/sam_vit_b_01ec64.pth"
    assert RELEASES["tiny"].url is None


def test_the_bundled_weights_are_in_the_package_and_not_in_the_cache():
    assert samjax.__file__ is not None
    assets = Path(samjax.__file__).parent / "assets"
    for name in ("small", "tiny"):
        assert RELEASES[name].path == assets / f"{name}.safetensors"
        assert RELEASES[name].url is None


def test_the_package_stays_small_enough_to_be_downloaded():
    """At most 60 MB for the weights of `small`, at most 30 M parameters."""
    release = RELEASES["small"]
    assert release.path.stat().st_size <= 60e6
    assert release.parameters <= 30e6


def test_the_model_for_photos_loads_with_its_own_sizes():
    model, params = samjax.load("small")
    assert model.config == SIZES["small"] and model.config.final_norm
    numbers = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    assert all(np.isfinite(values).all() for values in numbers)
    assert sum(values.size for values in numbers) == RELEASES["small"].parameters
