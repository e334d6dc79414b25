"""A name or a path gives a model and its parameters, and nothing else is needed."""

import dataclasses
import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.checkpoints import CheckpointError, convert, load, releases, save
from samjax.models import SIZES, Sam


@pytest.fixture
def release(tmp_path, own_file, monkeypatch, server):
    """A release of the small model on a loopback server, with its server."""
    official = convert(own_file, tmp_path / "official.pth")
    content = official.read_bytes()
    small = dataclasses.replace(
        releases.RELEASES["vit_b"],
        name="small",
        file="small.pth",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    server.content = content
    monkeypatch.setitem(releases.RELEASES, "small", small)
    monkeypatch.setenv("SAMJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAMJAX_RELEASES_URL", server.url.rpartition("/")[0])
    return small, server


def files(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )


def test_a_release_is_downloaded_once_and_kept_in_its_own_form(
    release, tmp_path, params, config, assert_same
):
    small, server = release
    for _ in range(2):
        model, loaded = load("small")
        assert model.config == config
        assert_same(loaded, params)
    assert len(server.requests) == 1
    kept = f"weights/small-{small.sha256[:12]}.safetensors"
    assert files(tmp_path / "cache") == [kept, f"{kept}.lock"]


def test_a_wrong_download_leaves_nothing_in_the_cache(release, tmp_path):
    _, server = release
    server.content = server.content[:-1] + b"!"
    with pytest.raises(CheckpointError, match="deleted"):
        load("small")
    assert [f for f in files(tmp_path / "cache") if not f.endswith(".lock")] == []


def test_two_threads_asking_at_once_download_once(release):
    _, server = release
    threads = [threading.Thread(target=load, args=("small",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_a_release_converts_by_its_name(release, tmp_path):
    _, server = release
    out = convert("small", tmp_path / "again.pth")
    # Other padding, but the same tensors: the round trip is tested with the converter.
    assert abs(out.stat().st_size - len(server.content)) < 100


def test_parameters_are_a_plain_dict_of_float32_device_arrays(own_file):
    _, params = load(own_file)
    assert type(params) is dict
    for leaf in jax.tree.leaves(params):
        assert isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32


def test_parameters_outlive_their_file(tmp_path, own_file, params, assert_same):
    _, loaded = load(own_file)
    own_file.write_bytes(bytes(own_file.stat().st_size))
    assert_same(loaded, params)


@pytest.mark.parametrize("dtype", [None, "float32", jnp.float32, np.dtype("float32")])
def test_models_compute_in_float32_unless_told(own_file, config, dtype):
    assert load(own_file, dtype=dtype)[0] == Sam(config)


def test_a_bfloat16_model_keeps_its_parameters_in_float32(own_file, config):
    model, params = load(own_file, dtype="bfloat16")
    assert model == Sam(config, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_dtypes_that_samjax_does_not_compute_in_are_refused(own_file, dtype):
    with pytest.raises(ValueError, match="expected float32 or bfloat16"):
        load(own_file, dtype=dtype)


def test_text_and_path_objects_load_alike(own_file, monkeypatch):
    monkeypatch.chdir(own_file.parent)
    for source in (own_file, str(own_file), "own.safetensors", Path("own.safetensors")):
        assert load(source)[0].config.depth == 3


def test_an_unknown_name_lists_the_names_and_says_that_it_is_no_path():
    with pytest.raises(CheckpointError) as error:
        load("vit_g")
    for word in ("'vit_g'", "neither", *SIZES, "nor an existing file"):
        assert word in str(error.value)


def test_a_path_is_never_taken_for_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in (Path("vit_b"), "./vit_b"):
        with pytest.raises(CheckpointError, match="nor an existing file"):
            load(source)


def test_the_bundled_model_loads_from_the_package(
    tmp_path, monkeypatch, config, params
):
    folder = tmp_path / "samjax" / "checkpoints"
    monkeypatch.setattr(releases, "__file__", str(folder / "releases.py"))
    with pytest.raises(CheckpointError, match="comes without"):
        load("tiny")
    save(tmp_path / "samjax/assets/tiny.safetensors", config, params, dtype="float16")
    model, loaded = load("tiny")
    assert model.config == config
    leaf = loaded["mask_decoder"]["iou_token"]["embedding"]
    half = params["mask_decoder"]["iou_token"]["embedding"].astype(np.float16)
    assert np.array_equal(leaf, half.astype(np.float32))


@pytest.mark.parity
def test_loaded_weights_of_the_reference_are_the_reference(tmp_path, config):
    import reference
    import torch

    sam = reference.build_reference(config)
    torch.save(sam.state_dict(), tmp_path / "a.pth")
    model, params = load(tmp_path / "a.pth")
    expected = reference.to_params(sam, config)
    assert model.config == config
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_loading_imports_no_torch(own_file, tmp_path):
    path = convert(own_file, tmp_path / "a.pth")
    code = (
        "import sys; from samjax.checkpoints import load; "
        f"load({str(path)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
