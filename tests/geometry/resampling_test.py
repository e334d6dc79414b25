"""Masks between frames: PyTorch's two steps exactly, and prompts from outside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.geometry.frame import Frame
from samjax.geometry.masks import mask_iou
from samjax.geometry.resampling import (
    mask_to_prompt,
    upscale_logits,
    upscale_masks,
)


def two_steps(logits: np.ndarray, frame: Frame) -> np.ndarray:
    """The reference's `postprocess_masks`, in PyTorch."""
    import torch

    def resize(x, size):
        return torch.nn.functional.interpolate(
            x, size, mode="bilinear", align_corners=False
        )

    x = resize(torch.from_numpy(logits)[None], (frame.model_size, frame.model_size))
    height, width = frame.resized_size
    return resize(x[..., :height, :width], frame.original_size)[0].numpy()


def random_logits(seed: int, count: int = 2, side: int = 64) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (5 * generator.standard_normal((count, side, side))).astype(np.float32)


@pytest.mark.parity
@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([128, 256, 200]),
)
def test_upscaling_equals_the_two_steps_of_the_reference(
    seed, height, width, model_size
):
    """Trap 4e: two bilinear steps, half-pixel centres, no antialiasing in either.

    Small originals make the second step shrink, where antialiasing would show.
    """
    logits = random_logits(seed)
    frame = Frame.fit((height, width), model_size)
    expected = two_steps(logits, frame)
    upscaled = upscale_logits(logits, frame)
    assert upscaled.dtype == np.float32
    np.testing.assert_allclose(upscaled, expected, atol=2e-5)
    masks = upscale_masks(logits, frame)
    decided = np.abs(expected) > 2e-5
    np.testing.assert_array_equal(masks[decided], (expected > 0)[decided])


@pytest.mark.parity
@pytest.mark.parametrize("size", [(1200, 1800), (480, 640), (3000, 37)])
def test_upscaling_is_exact_at_the_released_sizes(size):
    logits = random_logits(0, count=3, side=256)
    frame = Frame.fit(size, 1024)
    expected = two_steps(logits, frame)
    np.testing.assert_allclose(upscale_logits(logits, frame), expected, atol=2e-5)


def test_one_step_would_differ_from_two():
    """Trap 4e: both steps are kept; the second one alone is a different function."""
    logits = random_logits(0)
    frame = Frame.fit((90, 90), 256)
    direct = Frame.fit((90, 90), 64)
    difference = upscale_logits(logits, frame) - upscale_logits(logits, direct)
    assert np.abs(difference).max() > 0.1


def test_masks_are_strictly_above_the_threshold():
    """Trap 4e: a logit of exactly 0 is outside."""
    frame = Frame.fit((50, 70), 64)
    assert not upscale_masks(np.zeros((1, 16, 16), np.float32), frame).any()
    assert upscale_masks(np.full((1, 16, 16), 1e-6, np.float32), frame).all()
    logits = random_logits(1)
    np.testing.assert_array_equal(
        upscale_masks(logits, frame, 1.5), upscale_logits(logits, frame) > 1.5
    )


def test_padding_does_not_reach_the_mask():
    frame = Frame.fit((32, 64), 64)
    logits = np.full((1, 16, 16), 3.0, np.float32)
    padded = logits.copy()
    padded[:, 9:] = -1e6
    inside = upscale_logits(padded, frame)
    np.testing.assert_array_equal(inside[:, :30], upscale_logits(logits, frame)[:, :30])


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_constant_stays_constant_at_every_size(height, width):
    frame = Frame.fit((height, width), 64)
    logits = np.full((1, 16, 16), 2.5, np.float32)
    np.testing.assert_allclose(upscale_logits(logits, frame), 2.5, rtol=1e-6)


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    radius = 0.3 * min(height, width)
    return (y - 0.4 * height) ** 2 + (x - 0.55 * width) ** 2 < radius**2


@pytest.mark.parametrize("size", [(1200, 1800), (333, 200), (90, 700), (64, 64)])
def test_an_external_mask_comes_back_from_its_prompt(size):
    """Trap 4c: the mask prompt lives in the padded model frame at a quarter scale."""
    mask = disc(*size)
    frame = Frame.fit(size, 1024)
    prompt = mask_to_prompt(mask, frame, 256)
    assert prompt.shape == (256, 256) and prompt.dtype == np.float32
    assert prompt.min() == -10 and prompt.max() == pytest.approx(10, rel=1e-6)
    back = upscale_masks(prompt[None], frame)
    assert mask_iou(back, mask[None])[0, 0] > 0.97
    height, width = (int(np.ceil(side / 4)) for side in frame.resized_size)
    assert (prompt[height:] == -10).all() and (prompt[:, width:] == -10).all()


def test_a_mask_squeezed_without_padding_would_be_elsewhere():
    """Trap 4c: resized by the longest side, not stretched to a square."""
    mask = np.zeros((100, 400), bool)
    mask[:, :200] = True
    prompt = mask_to_prompt(mask, Frame.fit((100, 400), 1024), 256)
    np.testing.assert_allclose(prompt[:64, :128], 10, rtol=1e-5)
    assert (prompt[64:] == -10).all()


@given(st.integers(1, 90), st.integers(1, 90))
def test_a_full_mask_fills_the_image_and_nothing_else(height, width):
    frame = Frame.fit((height, width), 64)
    prompt = mask_to_prompt(np.ones((height, width), bool), frame, 16)
    covered = np.clip(np.array(frame.resized_size)[:, None] / 4 - np.arange(16), 0, 1)
    share = covered[0][:, None] * covered[1][None, :]
    np.testing.assert_allclose(prompt, 10 * (2 * share - 1), atol=1e-4)


def test_masks_of_another_size_are_refused():
    frame = Frame.fit((20, 30), 64)
    with pytest.raises(ValueError, match=r"mask of \(30, 20\).*of \(20, 30\)"):
        mask_to_prompt(np.zeros((30, 20), bool), frame, 16)
