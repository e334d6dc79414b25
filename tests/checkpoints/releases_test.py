"""The released weights are named with all that is needed to check them."""

import dataclasses
import math
import re
from pathlib import Path

import pytest

from samjax.checkpoints import RELEASES
from samjax.checkpoints.weight_map import entries
from samjax.models import SIZES


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
    import samjax

    assert samjax.__file__ is not None
    assets = Path(samjax.__file__).parent / "assets"
    assert RELEASES["tiny"].path == assets / "tiny.safetensors"
