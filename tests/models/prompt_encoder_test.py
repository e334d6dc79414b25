"""Every numerics trap of the prompt encoder, by name: see `small_reference`."""

import contextlib

import jax.numpy as jnp
import pytest
from small_reference import (
    AGREES,
    BREAKS,
    decoder_deviation,
    edited,
    prompt_inputs,
    reference,
)

from samjax.models import prompt_encoder as prompts_module

pytestmark = pytest.mark.parity


@contextlib.contextmanager
def position_encoding(change, monkeypatch):
    original = prompts_module.PositionEncoding.__call__
    with monkeypatch.context() as patch:
        patch.setattr(
            prompts_module.PositionEncoding,
            "__call__",
            lambda self, coordinates: change(self, original, coordinates),
        )
        yield


POSITION_TRAPS = {
    "sines come before cosines": lambda self, f, c: jnp.roll(f(self, c), 128, axis=-1),
    "coordinates span -1 to 1": lambda self, f, c: f(self, (c + 1) / 2),
    "x comes before y": lambda self, f, c: f(self, c[..., ::-1]),
    "positions are float32": lambda self, f, c: f(
        self, c.astype(jnp.bfloat16).astype(jnp.float32)
    ),
    "points are shifted by half a pixel": lambda self, f, c: f(self, c - 0.5 / 256),
}


@pytest.mark.parametrize("trap", POSITION_TRAPS)
def test_positions_avoid_the_trap(trap, monkeypatch):
    assert decoder_deviation("points") < AGREES
    with position_encoding(POSITION_TRAPS[trap], monkeypatch):
        assert decoder_deviation("points") > BREAKS


def test_a_point_without_a_box_needs_its_padding_token():
    assert decoder_deviation("points") < AGREES
    bare = prompt_inputs("points", pad=())
    assert decoder_deviation("points", inputs=bare) > BREAKS


def test_each_further_padding_token_would_change_the_result():
    padded = prompt_inputs("points", pad=((0.0, 0.0),) * 4)
    assert decoder_deviation("points", inputs=padded) > BREAKS


def test_coordinates_of_the_padding_token_do_not_matter():
    elsewhere = prompt_inputs("points", pad=((77.0, 12.0),))
    assert decoder_deviation("points", inputs=elsewhere) < AGREES


def test_a_box_with_points_has_no_padding_token():
    assert decoder_deviation("points box") < AGREES


def test_corners_have_their_own_embeddings():
    assert decoder_deviation("box") < AGREES
    swapped = prompt_inputs("box", corners=(3, 2))
    assert decoder_deviation("box", inputs=swapped) > BREAKS
    as_points = prompt_inputs("box", corners=(1, 1))
    assert decoder_deviation("box", inputs=as_points) > BREAKS


def test_a_mask_alone_has_no_sparse_tokens():
    assert decoder_deviation("mask") < AGREES


def test_a_mask_goes_with_points_and_a_box():
    assert decoder_deviation("points box mask") < AGREES


def test_no_mask_is_an_embedding_of_its_own():
    without = edited(
        reference()[1], "prompt_encoder/no_mask_embed/embedding", lambda e: 0 * e
    )
    assert decoder_deviation("box", without) > BREAKS
