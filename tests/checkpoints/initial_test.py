"""Initial weights of an encoder alone are told by their prefix."""

import jax
import numpy as np
from checkpoints import small_dinov2
from conftest import random_params

from samjax.checkpoints.dinov2 import load_dinov2_encoder
from samjax.checkpoints.initial import is_encoder, load_encoder
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
