"""Stripes for compiled code hold the numbers of the host's upscaling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.geometry.frame import Frame
from samjax.geometry.resampling import upscale_logits
from samjax.geometry.stripes import may_exceed, upscale_stripe, upscaling_blocks

SIZES = [(1, 1), (3, 700), (40, 64), (333, 217), (2250, 1500)]


def blocks(frame: Frame, rows: int, columns: int):
    sizes = (64, frame.model_size)
    return (
        upscaling_blocks(
            (*sizes, frame.resized_size[axis], frame.original_size[axis]),
            -(-frame.original_size[axis] // 192) * 192,
            block_size,
        )
        for axis, block_size in enumerate((rows, columns))
    )


def all_stripes(logits, down, across) -> np.ndarray:
    make = jax.jit(lambda index: upscale_stripe(logits, down, across, index))
    stripes = [make(index) for index in range(len(down.starts))]
    return np.concatenate(stripes, axis=1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", [64, 192])
def test_stripes_together_are_the_whole(size, rows, rng):
    frame = Frame.fit(size, 256)
    logits = rng.standard_normal((2, 64, 64)).astype(np.float32)
    down, across = blocks(frame, rows, 16)
    full = all_stripes(jnp.asarray(logits), down, across)
    height, width = size
    np.testing.assert_allclose(
        full[:, :height, :width], upscale_logits(logits, frame), atol=1e-5
    )
    assert not full[:, height:].any() and not full[:, :, width:].any()
    # Large images read few low-res pixels a block.
    assert across.weights.shape[-1] <= 8 or size[1] < 500


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threshold", [-1.0, 0.0])
def test_a_stripe_that_exceeds_a_threshold_is_never_missed(size, threshold, rng):
    frame = Frame.fit(size, 256)
    logits = np.full((2, 64, 64), threshold, np.float32)
    logits[0, 40, 3], logits[1, 5, 60] = 2.0, 0.1
    down, across = blocks(frame, 64, 16)
    found = np.asarray(may_exceed(jnp.asarray(logits), down, jnp.float32(threshold)))
    full = all_stripes(jnp.asarray(logits), down, across)
    exceeds = (full > threshold + 1e-3).any(axis=(0, 2)).reshape(-1, 64).any(axis=1)
    assert (found >= exceeds[: len(found)]).all()


def test_stripes_far_from_a_mask_are_not_made(rng):
    frame = Frame.fit((2250, 1500), 256)
    logits = np.full((1, 64, 64), -9.0, np.float32)
    logits[0, 30] = 5.0
    down, _ = blocks(frame, 64, 16)
    found = may_exceed(jnp.asarray(logits), down, jnp.float32(-1.0))
    assert 1 <= found.sum() <= 6


def test_blocks_of_an_unfit_size_are_refused():
    for padded_size in (90, 100):
        with pytest.raises(ValueError, match="multiple of 16"):
            upscaling_blocks((64, 256, 256, 100), padded_size, 16)
