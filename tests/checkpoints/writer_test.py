"""Written files are complete and correct, and no temporary file remains."""

import os

import numpy as np
import pytest
import safetensors

from samjax.checkpoints import CheckpointError, load, save, writer
from samjax.checkpoints.reader import open_checkpoint
from samjax.checkpoints.sizes import config_from_json
from samjax.models import SIZES


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["a.safetensors", "folder", "deep/down/a.safetensors"])
def test_saved_parameters_load_bit_by_bit(tmp_path, config, params, name, assert_same):
    path = save(tmp_path / name, config, params)
    model, loaded = load(path)
    assert model.config == config
    assert_same(loaded, params)


def test_device_arrays_save_as_host_arrays_do(tmp_path, config, params):
    import jax

    save(tmp_path / "host.safetensors", config, params)
    save(tmp_path / "device.safetensors", config, jax.device_put(params))
    host, device = (tmp_path / f"{n}.safetensors" for n in ("host", "device"))
    assert host.read_bytes() == device.read_bytes()


def test_the_file_says_its_config_and_names_the_tree(own_file, config):
    with safetensors.safe_open(own_file, "numpy") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert config_from_json(metadata["config"]) == config
    assert "image_encoder/blocks_0/attn/qkv/kernel" in names


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_storage_halves_the_file_and_widens_on_loading(
    tmp_path, config, params, own_file, dtype, assert_same
):
    import jax

    half = save(tmp_path / "half.safetensors", config, params, dtype=dtype)
    assert half.stat().st_size < 0.6 * own_file.stat().st_size
    rounded = jax.tree.map(lambda x: x.astype(dtype).astype(np.float32), params)
    assert_same(load(half)[1], rounded)


def test_training_choices_do_not_travel_with_weights(tmp_path, config, params):
    import dataclasses

    trained = dataclasses.replace(config, drop_path_rate=0.4, remat=True)
    path = save(tmp_path / "a.safetensors", trained, params)
    assert open_checkpoint(path).config == config


def test_foreign_parameters_are_refused_with_every_difference(tmp_path, config, params):
    del params["mask_decoder"]["iou_token"]
    params["image_encoder"]["neck_0"]["bias"] = np.zeros(3)
    params["image_encoder"]["pos_embed"] = np.zeros(3)
    with pytest.raises(CheckpointError) as error:
        save(tmp_path / "a.safetensors", config, params)
    assert error.value.problems == (
        "mask_decoder/iou_token/embedding is missing",
        "image_encoder/pos_embed has shape (3,), expected (1, 5, 5, 24)",
        "image_encoder/neck_0/bias is not part of the model",
    )
    with pytest.raises(CheckpointError):
        save(tmp_path / "a.safetensors", SIZES["tiny"], params)
    assert everything_below(tmp_path) == []


def test_a_number_that_does_not_fit_is_refused_and_leaves_nothing(
    tmp_path, config, params
):
    params["mask_decoder"]["iou_token"]["embedding"][0, 0] = 1e6
    with pytest.raises(CheckpointError, match="iou_token.*1000000.*float16"):
        save(tmp_path / "new/a.safetensors", config, params, dtype="float16")
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("dtype", ["int8", "float8", "complex64"])
def test_dtypes_that_are_not_for_weights_are_refused(tmp_path, config, params, dtype):
    with pytest.raises(CheckpointError, match="expected one of float64, float32"):
        save(tmp_path / "a.safetensors", config, params, dtype=dtype)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path, config, params, monkeypatch
):
    path = save(tmp_path / "a.safetensors", config, params)
    before = path.read_bytes()

    def interrupt(file, plan, arrays, metadata, **options):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "write_safetensors", interrupt)
    for target in (path, tmp_path / "new" / "folder"):
        with pytest.raises(KeyboardInterrupt):
            save(target, config, params)
    assert everything_below(tmp_path) == ["a.safetensors"]
    assert path.read_bytes() == before


def test_files_have_the_permissions_of_any_other_file(tmp_path, own_file):
    (tmp_path / "plain").touch()
    assert os.stat(own_file).st_mode == os.stat(tmp_path / "plain").st_mode
