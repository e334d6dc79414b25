"""Target masks at the resolution at which they are compared with predictions.

The paper leaves this resolution open; the default is that of SAM 2's training code.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Resolution = Literal["image", "logits"]


class Targets(NamedTuple):
    """Target masks.

    A target pixel covers a square of the model's input: one of its pixels, or one pixel
    of the low-res logits, 4 x 4 input pixels in the released sizes.

    Attributes:
        masks: Bool "b k h w".
        valid: Bool "b k", False for slots without a mask.
        inside: Bool "b h w", False in the padding.
        sizes: Int "b 2", height and width of the image without padding, in input pixels.
        pixel_side: Float "", side of a target pixel in input pixels.
        text: Float "b k e", the vector of each mask that is the first prompt; None
            where points and boxes are.
    """

    masks: Array
    valid: Array
    inside: Array
    sizes: Array
    pixel_side: Array
    text: Array | None = None


def make_targets(
    masks: Bool[Array, "b k h w"],
    valid: Bool[Array, "b k"],
    sizes: Int[Array, "b 2"],
    resolution: Resolution,
    logits_size: tuple[int, int],
) -> Targets:
    """Resamples target masks to the resolution at which they are compared.

    Args:
        masks: Target masks in the model's input frame.
        valid: False for slots without a mask.
        sizes: Height and width of each image without padding.
        resolution: `"image"` compares upsampled logits with the masks at full
            resolution, as the training code of SAM 2 does; the paper leaves it open.
            `"logits"` compares at the resolution of the low-res logits, with the
            majority of each block of pixels, for less work; a mask without a majority
            anywhere becomes invalid.
        logits_size: Height and width of the low-res logits.

    Raises:
        ValueError: The masks are no whole multiple of the logits in size.
    """
    height, width = masks.shape[-2:]
    side = 1
    if resolution == "logits":
        side = height // logits_size[0]
        if (logits_size[0] * side, logits_size[1] * side) != (height, width):
            raise ValueError(
                f"masks of {height} x {width} are no integer multiple of logits of "
                f"{logits_size}: use resolution='image'"
            )
        masks = _majority(masks, side)
    rows, columns = (jnp.arange(n) * side + (side - 1) / 2 for n in masks.shape[-2:])
    inside = (rows[None, :, None] < sizes[:, 0, None, None]) & (
        columns[None, None, :] < sizes[:, 1, None, None]
    )
    masks = masks & inside[:, None] & valid[:, :, None, None]
    return Targets(
        masks=masks,
        valid=valid & jnp.any(masks, axis=(-2, -1)),
        inside=inside,
        sizes=sizes,
        pixel_side=jnp.float32(side),
    )


def repeat_targets(targets: Targets) -> Targets:
    """Fills the free slots of each image with its own masks, repeated in order.

    Every slot costs a decoder pass, with a mask or without. The prompts of a repeated
    mask are drawn anew. An image without masks keeps its slots free.
    """
    slots = jnp.arange(targets.valid.shape[1])[None]
    # A stable sort keeps the order of the masks, in front of the free slots.
    order = jnp.argsort(~targets.valid, axis=1, stable=True)
    count = jnp.sum(targets.valid, axis=1, keepdims=True)
    source = jnp.take_along_axis(order, slots % jnp.maximum(count, 1), axis=1)
    text = targets.text
    return targets._replace(
        text=text
        if text is None
        else jnp.take_along_axis(text, source[..., None], axis=1),
        masks=jnp.take_along_axis(targets.masks, source[..., None, None], axis=1),
        valid=jnp.broadcast_to(count > 0, targets.valid.shape),
    )


def resize_logits(
    logits: Float[Array, "b k m i j"], size: tuple[int, ...]
) -> Float[Array, "b k m h w"]:
    """Resizes mask logits bilinearly with half-pixel centres, as at inference.

    For an integer factor each new row is a weighted sum of two old ones. Columns go
    through `jax.image.resize`, a matrix product at full precision: for both dimensions
    it would cost an accelerator as much as the mask decoder.
    """
    if logits.shape[-2:] == size:
        return logits
    *leading, height, _ = logits.shape
    factor = size[0] // height
    if factor * height != size[0]:
        return jax.image.resize(logits, (*leading, *size), "bilinear", antialias=False)
    wide = jax.image.resize(
        logits, (*leading, height, size[1]), "bilinear", antialias=False
    )
    above = jnp.concatenate([wide[..., :1, :], wide[..., :-1, :]], axis=-2)
    below = jnp.concatenate([wide[..., 1:, :], wide[..., -1:, :]], axis=-2)
    offsets = [(i + 0.5) / factor - 0.5 for i in range(factor)]
    rows = [
        (1.0 - abs(offset)) * wide + abs(offset) * (above if offset < 0 else below)
        for offset in offsets
    ]
    return jnp.stack(rows, axis=-2).reshape(*leading, *size)


def _majority(
    masks: Bool[Array, "b k h w"], side: int
) -> Bool[Array, "b k {masks.shape[2]//side} {masks.shape[3]//side}"]:
    batch, count, height, width = masks.shape
    blocks = masks.reshape(batch, count, height // side, side, width // side, side)
    return jnp.mean(blocks, axis=(3, 5), dtype=jnp.float32) >= 0.5
