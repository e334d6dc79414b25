"""A further architecture is a folder beside SAM's files, and nothing else is edited."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import random_params

import samjax
import samjax.models
from samjax import checkpoints
from samjax.checkpoints import CheckpointError
from samjax.checkpoints.families import SAM, families, family_of
from samjax.checkpoints.reader import open_checkpoint
from samjax.checkpoints.releases import releases
from samjax.checkpoints.safetensors_file import read_safetensors
from samjax.inference import AutomaticConfig
from samjax.models import TINY, VIT_B, SamConfig
from samjax.models.config import Architecture, ComputeOptions
from samjax.web.description import describe_model

SIBLINGS = Path(__file__).parent / "siblings"


@pytest.fixture
def convnet(monkeypatch):
    """The family of `siblings/convnet`, as if its folder were in samjax/models."""
    folders = [*samjax.models.__path__, str(SIBLINGS)]
    monkeypatch.setattr(samjax.models, "__path__", folders)
    yield importlib.import_module("samjax.models.convnet.family")
    for name in [name for name in sys.modules if name.startswith("samjax.models.conv")]:
        del sys.modules[name]
    if hasattr(samjax.models, "convnet"):
        delattr(samjax.models, "convnet")


@pytest.fixture
def sibling(convnet):
    """A model of the family, and parameters of the scale of trained ones."""
    model = convnet.FAMILY.model(convnet.CONFIG)
    params = random_params(model, seed=0)
    return model, jax.tree.map(np.float32, params)


def assert_equal(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_the_weight_map_of_a_sibling_is_its_parameter_tree(convnet, sibling):
    _, params = sibling
    shapes = {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    table = convnet.FAMILY.entries(convnet.CONFIG)
    assert {entry.path: entry.tree_shape for entry in table} == shapes


def test_a_sibling_is_saved_loaded_and_predicts(tmp_path, sibling, rng):
    model, params = sibling
    path = checkpoints.save(tmp_path / "a.safetensors", model.config, params)
    loaded, again = samjax.load(path)
    assert type(loaded) is type(model) and loaded.config == model.config
    assert_equal(again, params)

    predictor = samjax.Predictor(loaded, again)
    image = rng.integers(0, 255, (40, 64, 3), np.uint8)
    embedding = predictor.embed(image)
    masks = predictor.predict(embedding, samjax.Prompt(points=[[20, 30]], labels=[1]))
    assert masks.masks.shape == (3, 40, 64) and np.isfinite(masks.logits).all()
    expected = model.apply(
        {"params": params}, jax.numpy.zeros((1, 64, 64, 3)), method="encode_image"
    )
    assert embedding.features.shape == expected.shape[1:]

    everything = AutomaticConfig(
        points_per_side=2, pred_iou_thresh=-9.0, stability_score_thresh=0.0
    )
    records = samjax.generate_masks(predictor, image, everything)
    assert records and describe_model(predictor, "convnet")["channels"] == 32

    embedding.save(tmp_path / "embedding.safetensors")
    stored = samjax.ImageEmbedding.load(tmp_path / "embedding.safetensors")
    assert stored.fingerprint == predictor.fingerprint
    again["conv_encoder"]["out"]["bias"] += 1
    other = samjax.Predictor(loaded, again)
    with pytest.raises(ValueError, match="other weights"):
        other.predict(stored, samjax.Prompt(points=[[20, 30]], labels=[1]))


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_sibling_is_converted_to_released_names_and_back(tmp_path, sibling, name):
    model, params = sibling
    own = checkpoints.save(tmp_path / "own.safetensors", model.config, params)
    format = "pth" if name.endswith("pth") else "safetensors"
    converted = checkpoints.convert(own, tmp_path / name, format=format)
    loaded, again = samjax.load(converted)
    assert loaded.config == model.config
    assert_equal(again, params)
    with pytest.raises(CheckpointError, match="family 'convnet'.*no form for transf"):
        checkpoints.convert(own, tmp_path / "folder", format="huggingface")


def test_the_published_weights_of_a_sibling_have_names(convnet, sibling, monkeypatch):
    release = releases()["convnet_12"]
    assert release.url == "https://weights.example/convnet_12.pth"
    checkpoints.save(release.path, convnet.CONFIG, sibling[1])
    model, _ = samjax.load("convnet_12")
    assert model.config == release.config


def test_a_predictor_names_the_parts_that_its_model_needs(sibling):
    model, params = sibling
    params["image_encoder"] = params.pop("conv_encoder")
    with pytest.raises(ValueError, match=r"expected \('conv_encoder', "):
        samjax.Predictor(model, params)


def test_weights_of_a_family_that_is_not_there_are_refused(tmp_path, sibling):
    model, params = sibling
    path = checkpoints.save(tmp_path / "a.safetensors", model.config, params)
    # As a samjax without the folder.
    samjax.models.__path__.remove(str(SIBLINGS))
    with pytest.raises(
        CheckpointError, match="family 'convnet', expected one of sam, clip"
    ):
        samjax.load(path)
    with pytest.raises(TypeError, match="ConvConfig"):
        family_of(model.config)


def test_the_package_has_a_family_for_every_architecture():
    assert list(families()) == ["sam", "clip", "owl", "siglip", "text_sam"]
    for config in (VIT_B, VIT_B.architecture):
        assert family_of(config) is SAM


def test_an_architecture_is_a_config_without_compute_options():
    config = dataclasses.replace(TINY, drop_path_rate=0.4, remat=True, scan=True)
    assert config != TINY and config.architecture == TINY.architecture
    options = {field.name for field in dataclasses.fields(ComputeOptions)}
    assert options == set(config.as_fields()) - set(config.architecture.as_fields())
    other = dataclasses.replace(config, window_size=5)
    assert other.architecture != config.architecture


def test_every_field_is_the_encoder_s_or_the_decoder_s():
    decoder = set(SamConfig.decoder_fields)
    assert set(VIT_B.encoder_fields()) | decoder == set(VIT_B.architecture.as_fields())
    assert not set(VIT_B.encoder_fields()) & decoder
    assert Architecture.decoder_fields == ()


def test_files_of_sam_carry_the_architecture_alone(tmp_path, tiny_model):
    model, params = tiny_model
    config = dataclasses.replace(model.config, drop_path_rate=0.4, remat=True)
    path = checkpoints.save(tmp_path / "a.safetensors", config, params)
    _, metadata = read_safetensors(path)
    assert "family" not in metadata
    assert set(json.loads(metadata["config"])) == set(config.architecture.as_fields())


def test_files_of_before_carry_compute_options_and_load():
    """The bundled weights are such files."""
    for name in ("tiny", "small"):
        path = releases()[name].path
        _, metadata = read_safetensors(path)
        assert json.loads(metadata["config"])["drop_path_rate"] == 0.0
        assert open_checkpoint(path).config == releases()[name].config
