"""Initial weights of an encoder alone are told by their prefix."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from checkpoints import small_dinov2
from conftest import random_params

from samjax.checkpoints import CheckpointError, save
from samjax.checkpoints.dinov2 import load_dinov2_encoder
from samjax.checkpoints.initial import (
    DECODER_SIZES,
    is_encoder,
    load_decoder,
    load_encoder,
)
from samjax.models import Sam


def test_a_prefix_of_the_table_is_one_of_an_encoder():
    assert is_encoder("dinov2:folder") and is_encoder("mae:file.pth")
    assert not any(map(is_encoder, ("tiny", "dinov2", "mae", "other:file", "C:/a.pth")))


def test_the_encoder_is_loaded_by_what_its_prefix_names(tmp_path, rng):
    folder = small_dinov2.write_folder(tmp_path / "dinov2", small_dinov2.draw(rng))
    config = small_dinov2.CONFIG
    fresh = random_params(Sam(config), seed=0)
    ours = load_encoder(f"dinov2:{folder}", fresh, config)
    jax.tree.map(
        np.testing.assert_array_equal, ours, load_dinov2_encoder(folder, fresh, config)
    )


def test_the_decoder_comes_from_weights_with_another_encoder(tmp_path, small_config):
    trained = random_params(Sam(small_config), seed=1)
    path = tmp_path / "trained.safetensors"
    save(path, small_config, trained)
    config = dataclasses.replace(
        small_dinov2.CONFIG,
        **{name: getattr(small_config, name) for name in DECODER_SIZES},
    )
    fresh = random_params(Sam(config), seed=2)
    ours = load_decoder(path, fresh, config)
    for part in ("prompt_encoder", "mask_decoder"):
        same = functools.partial(np.testing.assert_allclose, rtol=1e-6)
        jax.tree.map(same, ours[part], trained[part])
    jax.tree.map(
        np.testing.assert_array_equal, ours["image_encoder"], fresh["image_encoder"]
    )


@pytest.mark.parametrize("field", ["decoder_mlp_dim", "mask_in_chans"])
def test_a_decoder_of_other_sizes_is_refused_with_both_sizes(
    tmp_path, small_config, field
):
    path = tmp_path / "trained.safetensors"
    save(path, small_config, random_params(Sam(small_config), seed=1))
    size = getattr(small_config, field)
    config = dataclasses.replace(small_config, **{field: 2 * size})
    with pytest.raises(
        CheckpointError, match=f"{field} is {size}, expected the model's {2 * size}"
    ):
        load_decoder(path, {}, config)
