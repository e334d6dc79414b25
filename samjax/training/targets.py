"""Target masks at the resolution at which they are compared with predictions."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Resolution = Literal["image", "logits"]


class Targets(NamedTuple):
    """The masks to ask for.

    A target pixel covers a square of the model's input: a pixel of it, or the pixel of
    the mask logits, 4 x 4 input pixels in the released sizes.

    Attributes:
        masks: Bool "b k h w".
        valid: Bool "b k", False where there is no mask to ask for.
        inside: Bool "b h w", False in the padding.
        sizes: Int "b 2", height and width of what is not padding, in input pixels.
        pixel_side: Float "", side of a target pixel in input pixels.
    """

    masks: Array
    valid: Array
    inside: Array
    sizes: Array
    pixel_side: Array


def make_targets(
    masks: Bool[Array, "b k h w"],
    valid: Bool[Array, "b k"],
    sizes: Int[Array, "b 2"],
    resolution: Resolution,
    logits_size: tuple[int, int],
) -> Targets:
    """Brings target masks to the resolution of the comparison.

    Args:
        masks: Target masks in the model's input frame.
        valid: Which of them exist.
        sizes: Height and width of each image's part that is not padding.
        resolution: `"image"` compares upsampled logits with the masks as they are, as
            the training code of SAM 2 does; the paper does not say. `"logits"`
            compares at the resolution of the logits, with the majority of each pixel,
            for less work; a mask that has no majority anywhere becomes invalid.
        logits_size: Height and width of the mask logits.
    """
    height, width = masks.shape[-2:]
    side = 1
    if resolution == "logits":
        side = height // logits_size[0]
        if (logits_size[0] * side, logits_size[1] * side) != (height, width):
            raise ValueError(
                f"masks of {height} x {width} do not shrink to logits of {logits_size}"
                " by a whole number; use resolution='image'"
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
    """Fills the free slots of each image with its masks again, in turn.

    Every slot costs a decoder pass, with a mask or without. A mask that is there twice
    has different prompts in its two slots. An image without a mask stays without.
    """
    slots = jnp.arange(targets.valid.shape[1])[None]
    # Stable, so that masks keep their order in front of the free slots.
    order = jnp.argsort(~targets.valid, axis=1, stable=True)
    count = jnp.sum(targets.valid, axis=1, keepdims=True)
    source = jnp.take_along_axis(order, slots % jnp.maximum(count, 1), axis=1)
    return targets._replace(
        masks=jnp.take_along_axis(targets.masks, source[..., None, None], axis=1),
        valid=jnp.broadcast_to(count > 0, targets.valid.shape),
    )


def resize_logits(
    logits: Float[Array, "b k m i j"], size: tuple[int, ...]
) -> Float[Array, "b k m h w"]:
    """Resizes mask logits bilinearly with half-pixel centres, as at inference.

    Rows that grow by a whole number are sums of two old ones each. Columns go through
    `jax.image.resize`, a product with a matrix at full precision: for both, it would
    cost an accelerator as much as the mask decoder.
    """
    if logits.shape[-2:] == size:
        return logits
    *leading, height, _ = logits.shape
    times = size[0] // height
    if times * height != size[0]:
        return jax.image.resize(logits, (*leading, *size), "bilinear", antialias=False)
    wide = jax.image.resize(
        logits, (*leading, height, size[1]), "bilinear", antialias=False
    )
    above = jnp.concatenate([wide[..., :1, :], wide[..., :-1, :]], axis=-2)
    below = jnp.concatenate([wide[..., 1:, :], wide[..., -1:, :]], axis=-2)
    offsets = [(i + 0.5) / times - 0.5 for i in range(times)]
    rows = [
        (1.0 - abs(offset)) * wide + abs(offset) * (above if offset < 0 else below)
        for offset in offsets
    ]
    return jnp.stack(rows, axis=-2).reshape(*leading, *size)


def _majority(
    masks: Bool[Array, "b k h w"], side: int
) -> Bool[Array, "b k {masks.shape[2]//side} {masks.shape[3]//side}"]:
    batch, number, height, width = masks.shape
    blocks = masks.reshape(batch, number, height // side, side, width // side, side)
    return jnp.mean(blocks, axis=(3, 5), dtype=jnp.float32) >= 0.5
