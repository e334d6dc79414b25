"""The same step on one device and on eight simulated ones, in a process that has them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samjax.sharding import SMALLEST

PROGRAM = Path(__file__).with_name("mesh_run.py")

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


@pytest.fixture(scope="module")
def meshes():
    environment = os.environ | {"PYTHONPATH": str(PROGRAM.parents[2])}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return {mesh["name"]: mesh for mesh in found}


@pytest.mark.parametrize("name", ["fsdp", "all", "parts", "turns"])
def test_losses_and_updates_are_those_of_one_device(meshes, name):
    mesh, one = meshes[name], meshes["one"]
    np.testing.assert_allclose(mesh["losses"], one["losses"], rtol=1e-5)
    assert mesh["masks"] == one["masks"]
    assert mesh["params"] < 0.01 and mesh["moments"] < 1e-3


def test_no_large_array_is_copied_to_all_devices_under_fsdp(meshes):
    assert meshes["one"]["copied"] > SMALLEST
    for name in ("fsdp", "all", "parts", "turns"):
        assert meshes[name]["copied"] < SMALLEST, name


def test_a_device_holds_its_share_of_the_state(meshes):
    whole, cut = meshes["one"]["bytes"], meshes["fsdp"]["bytes"]
    assert cut < whole / 2


def test_the_new_state_lies_where_the_old_one_did_and_takes_its_memory(meshes):
    for mesh in meshes.values():
        assert mesh["moved"] == 0 and mesh["kept"] == 0
