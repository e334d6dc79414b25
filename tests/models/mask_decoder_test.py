"""Every numerics trap of the mask decoder, by name: see `small_reference`."""

import jax
import jax.numpy as jnp
import pytest
from small_reference import (
    AGREES,
    BREAKS,
    decoder_deviation,
    edited,
    reference,
    reference_masks,
)

from samjax.models import mask_decoder, two_way
from samjax.models import prompt_encoder as prompts_module

pytestmark = pytest.mark.parity


def positions_on_values(self, q, image, positions):
    return FOLD(self, q, image + positions, 0 * positions)


FOLD = two_way.TokenToImageAttention._fold
LAYER = two_way.TwoWayLayer.__call__
SELF_ATTENTION = two_way.SelfAttention.__call__

DECODER_PATCHES = {
    "first self-attention has no positions and no residual": (
        two_way.SelfAttention,
        "__call__",
        lambda self, query, *rest: query + SELF_ATTENTION(self, query, *rest),
    ),
    "original tokens are added again in every attention": (
        two_way.TwoWayLayer,
        "__call__",
        lambda self, tokens, original, *rest: LAYER(self, tokens, 0 * original, *rest),
    ),
    "values never get positions": (
        two_way.TokenToImageAttention,
        "_fold",
        positions_on_values,
    ),
    "token MLPs use ReLU": (two_way.jax.nn, "relu", jax.nn.gelu),
    "upscaling uses the exact GELU": (mask_decoder, "gelu", jax.nn.gelu),
    "grid positions are cell centres": (
        prompts_module.PromptEncoder,
        "encode_grid",
        lambda self, grid, *rest: self.pe_layer(
            jnp.stack(jnp.meshgrid(*(jnp.linspace(0, 1, n) for n in grid)), -1)
        ),
    ),
}


@pytest.mark.parametrize("trap", DECODER_PATCHES)
def test_decoder_avoids_the_trap(trap, monkeypatch):
    assert decoder_deviation("points") < AGREES
    monkeypatch.setattr(*DECODER_PATCHES[trap])
    assert decoder_deviation("points") > BREAKS


DECODER_EDITS = {
    "transposed convolutions are not flipped": (
        "mask_decoder/output_upscaling_0/kernel",
        lambda k: k[:, ::-1, ::-1],
    ),
    "transposed convolution rows and columns": (
        "mask_decoder/output_upscaling_3/kernel",
        lambda k: k.swapaxes(1, 2),
    ),
    "mask token 0 is the single mask": (
        "mask_decoder/mask_tokens/embedding",
        lambda e: jnp.roll(e, 1, axis=0),
    ),
}


@pytest.mark.parametrize("trap", DECODER_EDITS)
def test_decoder_reads_the_layout(trap):
    broken = edited(reference()[1], *DECODER_EDITS[trap])
    assert decoder_deviation("points", broken) > BREAKS


def test_decoder_norms_use_an_epsilon_of_1e_5(monkeypatch):
    assert decoder_deviation("points", faint=True) < AGREES
    monkeypatch.setattr(two_way, "DECODER_EPSILON", 1e-6)
    assert decoder_deviation("points", faint=True) > BREAKS


def test_predicted_iou_has_no_sigmoid():
    scores = reference_masks("points")[1]
    assert scores.min() < 0 or scores.max() > 1
