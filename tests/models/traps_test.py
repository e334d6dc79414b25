"""Every numerics trap of the reference, by name: parity holds, and breaks if sprung.

Each trap is a way to get the model slightly wrong that others fell into. A test here
has two halves: the small model agrees with the PyTorch reference, and stops agreeing
as soon as the trap is sprung by a patch. A probe that could not tell would fail.
"""

import contextlib
import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.models import (
    PromptInputs,
    Sam,
    SamConfig,
    image_encoder,
    mask_decoder,
    two_way,
)
from samjax.models import prompt_encoder as prompts_module

pytestmark = pytest.mark.parity

AGREES = 2e-5
BREAKS = 1e-3

# A grid of 16 with windows of 14, so that windows are padded as at 1024.
CONFIG = SamConfig(
    image_size=256,
    embed_dim=64,
    depth=3,
    num_heads=2,
    global_attention_blocks=(1,),
    drop_path_rate=0.5,
)


@functools.cache
def reference(faint: bool = False):
    """The small reference; `faint` has activations small enough to feel an epsilon."""
    import reference as published
    import torch

    sam = published.build_reference(CONFIG, seed=3)
    if faint:
        with torch.no_grad():
            for name, tensor in sam.state_dict().items():
                if "patch_embed" in name or "pos_embed" in name:
                    tensor *= 1e-3
                if "mask_decoder.transformer" in name and "norm" not in name:
                    tensor *= 0.03
                if "embed" in name and "prompt_encoder" in name or "token" in name:
                    tensor *= 0.03
    params = published.to_params(sam, CONFIG)
    return sam, jax.tree.map(jnp.asarray, params)


@functools.cache
def pixels() -> jax.Array:
    noise = np.random.default_rng(1).standard_normal((1, 256, 256, 3))
    noise[:, 200:] = 0
    return jnp.asarray(noise, jnp.float32)


@functools.cache
def reference_embedding(faint: bool = False) -> np.ndarray:
    import torch

    with torch.no_grad():
        nchw = torch.tensor(np.asarray(pixels()).transpose(0, 3, 1, 2))
        return reference(faint)[0].image_encoder(nchw).numpy().transpose(0, 2, 3, 1)


def deviation(ours, theirs) -> float:
    theirs = np.asarray(theirs)
    return float(np.abs(np.asarray(ours) - theirs).max() / np.sqrt(np.mean(theirs**2)))


def encoder_deviation(params=None, faint: bool = False) -> float:
    params = reference(faint)[1] if params is None else params
    ours = Sam(CONFIG).apply({"params": params}, pixels(), method="encode_image")
    return deviation(ours, reference_embedding(faint))


POINTS, LABELS = [[200.0, 40.0], [31.5, 77.0]], [1, 0]
BOX = [20.0, 60.0, 180.0, 130.0]


@functools.cache
def reference_masks(case: str, faint: bool = False):
    import torch

    sam = reference(faint)[0]
    points = boxes = masks = None
    if "points" in case:
        points = torch.tensor([POINTS]), torch.tensor([LABELS])
    if "box" in case:
        boxes = torch.tensor([BOX])
    if "mask" in case:
        masks = torch.from_numpy(mask_prompt())[None, None]
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
        logits, scores = sam.mask_decoder.predict_masks(
            image_embeddings=torch.from_numpy(
                reference_embedding().transpose(0, 3, 1, 2)
            ),
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
    return logits.numpy(), scores.numpy()


def mask_prompt() -> np.ndarray:
    return 5 * np.random.default_rng(2).standard_normal((64, 64)).astype(np.float32)


def prompt_inputs(case: str, *, pad: tuple = ((0.0, 0.0),), corners=(2, 3)):
    points, labels = [], []
    if "points" in case:
        points, labels = list(POINTS), list(LABELS)
        if "box" not in case:
            points, labels = points + list(pad), labels + [-1] * len(pad)
    if "box" in case:
        points, labels = points + [BOX[:2], BOX[2:]], labels + list(corners)
    return PromptInputs(
        jnp.asarray(points, jnp.float32).reshape(1, 1, -1, 2),
        jnp.asarray(labels, jnp.int32).reshape(1, 1, -1),
        jnp.asarray(mask_prompt())[None, None] if "mask" in case else None,
    )


def decoder_deviation(case: str, params=None, inputs=None, faint=False) -> float:
    params = reference(faint)[1] if params is None else params
    ours = Sam(CONFIG).apply(
        {"params": params},
        jnp.asarray(reference_embedding()),
        prompt_inputs(case) if inputs is None else inputs,
        method="decode",
    )
    logits, scores = reference_masks(case, faint)
    return max(
        deviation(ours.low_res_logits[0], logits),
        deviation(ours.iou_predictions[0], scores),
    )


def edited(params: dict, path: str, edit) -> dict:
    """A copy of the parameters with one array changed."""
    head, _, rest = path.partition("/")
    inner = edited(params[head], rest, edit) if rest else edit(params[head])
    return {**params, head: inner}


def attend_otherwise(change):
    """Springs a trap in the arguments of the encoder's attention."""
    original = image_encoder.attend_with_relative_positions

    def attend(query, key, value, rows, columns):
        return original(query, key, value, *change(query, rows, columns))

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
    """What padding first would give: the norm maps zero tokens to its bias."""
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
        lambda self, grid: self.pe_layer(
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
