"""Every numerics trap of the image encoder, by name: see `small_reference`."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from small_reference import (
    AGREES,
    BREAKS,
    CONFIG,
    edited,
    encoder_deviation,
    pixels,
    reference,
)

from samjax.models import Sam, image_encoder

pytestmark = pytest.mark.parity


def attend_otherwise(change):
    """Springs a trap in the arguments of the encoder's attention."""
    original = image_encoder.attend_with_relative_positions

    def attend(query, key, value, rows, columns, kind):
        return original(query, key, value, *change(query, rows, columns), kind)

    return image_encoder, "attend_with_relative_positions", attend


def bessel_layer_norm(epsilon, dtype, name):
    """Layer normalization with the unbiased variance."""

    class Bessel(nn.Module):
        @nn.compact
        def __call__(self, x):
            scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
            bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
            y = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(
                x.var(-1, keepdims=True, ddof=1) + epsilon
            )
            shape = (1,) * (x.ndim - 1) + (-1,)
            return y * scale.reshape(shape) + bias.reshape(shape)

    return Bessel(name=name)


def pad_before_the_norm(x, size, partition=image_encoder.partition_windows):
    """Pads before the norm, which maps zero tokens to its bias (wrong on purpose)."""
    return partition(x - 0.1, size) + 0.1


def resized_twice(table, grid):
    wide = jax.image.resize(table, (1, 32, 32, table.shape[-1]), "linear")
    return jax.image.resize(wide, table.shape, "linear")


ENCODER_PATCHES = {
    "gelu is the exact erf form": (image_encoder, "gelu", jax.nn.gelu),
    "relative terms use the unscaled query": attend_otherwise(
        lambda q, r, c: (r * q.shape[-1] ** -0.5, c * q.shape[-1] ** -0.5)
    ),
    "row term indexes key rows, column term key columns": attend_otherwise(
        lambda q, r, c: (c, r)
    ),
    "relative index is query minus key": attend_otherwise(
        lambda q, r, c: (r.swapaxes(0, 1), c.swapaxes(0, 1))
    ),
    "norm comes before window padding, padded tokens are zeros": (
        image_encoder,
        "partition_windows",
        pad_before_the_norm,
    ),
    "absolute table is added as it is": (
        image_encoder,
        "resize_position_table",
        resized_twice,
    ),
    "layer norm uses the biased variance": (
        image_encoder,
        "layer_norm",
        bessel_layer_norm,
    ),
}

ENCODER_EDITS = {
    "patch kernel rows and columns": (
        "image_encoder/patch_embed/proj/kernel",
        lambda k: k.swapaxes(0, 1),
    ),
    "neck kernel rows and columns": (
        "image_encoder/neck_2/kernel",
        lambda k: k.swapaxes(0, 1),
    ),
    "fused projection is ordered q, k, v, then heads": (
        "image_encoder/blocks_1/attn/qkv/kernel",
        lambda k: k.reshape(64, 2, 3, 32).swapaxes(1, 2).reshape(64, -1),
    ),
}


@pytest.mark.parametrize("trap", ENCODER_PATCHES)
def test_encoder_avoids_the_trap(trap, monkeypatch):
    assert encoder_deviation() < AGREES
    monkeypatch.setattr(*ENCODER_PATCHES[trap])
    assert encoder_deviation() > BREAKS


@pytest.mark.parametrize("trap", ENCODER_EDITS)
def test_encoder_reads_the_layout(trap):
    assert encoder_deviation(edited(reference()[1], *ENCODER_EDITS[trap])) > BREAKS


def test_encoder_norms_use_an_epsilon_of_1e_6(monkeypatch):
    assert encoder_deviation(faint=True) < AGREES
    monkeypatch.setattr(image_encoder, "ENCODER_EPSILON", 1e-5)
    assert encoder_deviation(faint=True) > BREAKS


def test_global_blocks_cannot_be_taken_for_windowed_ones():
    wrong = Sam(dataclasses.replace(CONFIG, global_attention_blocks=(2,)))
    with pytest.raises(Exception, match="rel_pos_h"):
        wrong.apply({"params": reference()[1]}, pixels(), method="encode_image")
