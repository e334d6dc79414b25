"""Weights that leave out their image encoder and take it from bundled ones."""

import dataclasses

import jax
import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax import checkpoints
from samjax.checkpoints import CheckpointError, releases
from samjax.models.config import SamConfig
from samjax.models.params import IMAGE_ENCODER


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A bundled release of the small model, and its text model's parameters."""
    params = random_params()
    names = [field.name for field in dataclasses.fields(SamConfig)]
    plain = SamConfig(**{name: getattr(SMALL_TEXT, name) for name in names})
    parts = {name: params[name] for name in plain.parts}
    prompts = dict(parts["prompt_encoder"])
    del prompts["text_projection"]
    file = checkpoints.save(
        tmp_path / "base.safetensors", plain, {**parts, "prompt_encoder": prompts}
    )
    release_in(monkeypatch, file, plain)
    return file, params


def release_in(monkeypatch, file, config):
    class Bundled(releases.Release):
        path = file  # type: ignore[assignment]

    release = Bundled(
        name="base",
        file=file.name,
        config=config,
        parameters=1,
        licence="Apache-2.0",
        source="a test",
        bundled=True,
    )
    monkeypatch.setitem(releases.RELEASES, "base", release)  # type: ignore[arg-type]


def test_a_file_without_the_encoder_is_the_whole_model(tmp_path, base):
    file, params = base
    whole = checkpoints.save(tmp_path / "whole.safetensors", SMALL_TEXT, params)
    part = checkpoints.save(
        tmp_path / "part.safetensors", SMALL_TEXT, params, encoder_of="base"
    )
    encoder = sum(leaf.nbytes for leaf in jax.tree.leaves(params[IMAGE_ENCODER]))
    assert part.stat().st_size < whole.stat().st_size - encoder
    model, read = samjax.load(part)
    assert model.config == SMALL_TEXT
    jax.tree.map(np.testing.assert_array_equal, read, params)
    # Converted, it is whole, and no longer needs the other file.
    copy = checkpoints.convert(part, tmp_path / "copy.safetensors")
    file.unlink()
    jax.tree.map(np.testing.assert_array_equal, samjax.load(copy)[1], params)
    with pytest.raises(CheckpointError, match="uses the image encoder of 'base'"):
        samjax.load(part)


def test_another_encoder_is_not_left_out(tmp_path, base):
    params = {**base[1], IMAGE_ENCODER: random_params(seed=1)[IMAGE_ENCODER]}
    with pytest.raises(CheckpointError, match="it is not that of 'base'"):
        checkpoints.save(
            tmp_path / "part.safetensors", SMALL_TEXT, params, encoder_of="base"
        )


def test_other_base_weights_under_the_name_are_refused(tmp_path, base, monkeypatch):
    file, params = base
    part = checkpoints.save(
        tmp_path / "part.safetensors", SMALL_TEXT, params, encoder_of="base"
    )
    plain, read = samjax.load(file)
    changed = jax.tree.map(lambda leaf: leaf + 1, read)
    other = checkpoints.save(tmp_path / "other.safetensors", plain.config, changed)
    release_in(monkeypatch, other, plain.config)
    with pytest.raises(CheckpointError, match="another version of the weights 'base'"):
        samjax.load(part)


@pytest.mark.parametrize("name", ["vit_b", "no such weights", "tiny"])
def test_weights_that_cannot_be_the_base_are_refused(tmp_path, base, name):
    with pytest.raises(CheckpointError, match="uses the image encoder of"):
        checkpoints.save(
            tmp_path / "part.safetensors", SMALL_TEXT, base[1], encoder_of=name
        )
    assert not (tmp_path / "part.safetensors").exists()


def test_the_bundled_text_model_has_the_encoder_of_small():
    path = releases.releases()["small_text"].path
    assert path.stat().st_size <= 15e6
    model, params = samjax.load("small_text")
    _, small = samjax.load("small")
    jax.tree.map(
        np.testing.assert_array_equal, params[IMAGE_ENCODER], small[IMAGE_ENCODER]
    )
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    assert count == releases.releases()["small_text"].parameters
    assert model.has_text and {"cup", "spoon", "cat"} <= {*model.config.words}
