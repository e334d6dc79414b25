"""Random prompts from masks: uniform pixels and jittered boxes (SAM, appendix A).

Every target has its own random key, so that its prompts depend neither on the other
targets of the batch nor on the number of devices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from samjax.geometry.boxes import box_of_occupied
from samjax.models.prompt_encoder import (
    ABSENT,
    BACKGROUND,
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    FOREGROUND,
    NOT_A_POINT,
)
from samjax.training.targets import Targets

# The frame in which the paper's limit on box noise is taken to be in pixels.
PAPER_FRAME = 1024


@dataclass(frozen=True, kw_only=True)
class BoxNoise:
    """Noise on the corners of a prompt box.

    Attributes:
        law: In the paper 10 % of the side is the standard deviation (`"gaussian"`); in
            the training code of SAM 2 it is the half width of `"uniform"` noise.
        ratio: Scale of the noise over the side of the box.
        limit: Upper bound of this scale in pixels of a frame of 1024, and in proportion
            for smaller inputs. The paper leaves open whether the scale or the draw is
            bounded; here it is the scale, as in SAM 2.
    """

    law: Literal["gaussian", "uniform"] = "gaussian"
    ratio: float = 0.1
    limit: float = 20.0


def keys_of_targets(key: PRNGKeyArray, targets: Targets) -> Key[Array, "b k"]:
    """Returns a random key for every target."""
    return jax.random.split(key, targets.valid.shape)


def split_keys(keys: Key[Array, "b k"], count: int) -> Key[Array, "count b k"]:
    """Splits the key of every target into several."""
    split = _of_each(lambda key: jax.random.split(key, count))(keys)
    return jnp.moveaxis(split, -1, 0)


def draw_number(
    keys: Key[Array, "b k"], below: int | Int[Array, "b k"]
) -> Int[Array, "b k"]:
    """Draws an integer for each target, uniformly from 0 to below a bound."""
    below = jnp.broadcast_to(below, keys.shape)
    return _of_each(lambda key, below: jax.random.randint(key, (), 0, below))(
        keys, below
    )


def draw_choice(keys: Key[Array, "b k"], probability: float) -> Bool[Array, "b k"]:
    """Draws a boolean for each target."""
    return _of_each(lambda key: jax.random.bernoulli(key, probability))(keys)


def draw_point_prompt(
    keys: Key[Array, "b k"], targets: Targets
) -> tuple[Float[Array, "b k 2 2"], Int[Array, "b k 2"]]:
    """Draws a point of each target, with the padding token of a prompt without a box."""
    pixel, has_pixel = draw_pixel(keys, targets.masks)
    point = _to_input(pixel, targets.pixel_side)
    points = jnp.stack([point, jnp.zeros_like(point)], axis=2)
    labels = jnp.array([FOREGROUND, NOT_A_POINT]).reshape(1, 1, 2)
    return points, jnp.where(has_pixel[..., None], labels, ABSENT)


def draw_box_prompt(
    keys: Key[Array, "b k"], targets: Targets, noise: BoxNoise
) -> tuple[Float[Array, "b k 2 2"], Int[Array, "b k 2"]]:
    """Draws the jittered box of each target, as two corners clipped to the image."""
    low, high, has_pixel = tight_box(targets.masks)
    low = _to_input(low, targets.pixel_side)
    high = _to_input(high, targets.pixel_side)
    input_side = max(targets.masks.shape[-2:]) * targets.pixel_side
    limit = noise.limit * input_side / PAPER_FRAME
    scale = jnp.minimum(noise.ratio * (high - low), limit)[:, :, None]
    if noise.law == "gaussian":
        draw = _of_each(lambda key: jax.random.normal(key, (2, 2)))(keys)
    else:
        draw = _of_each(
            lambda key: jax.random.uniform(key, (2, 2), minval=-1.0, maxval=1.0)
        )(keys)
    corners = jnp.stack([low, high], axis=2) + scale * draw
    last_pixel = (targets.sizes[:, None, None, ::-1] - 1).astype(corners.dtype)
    corners = jnp.clip(corners, 0.0, last_pixel)
    labels = jnp.array([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]).reshape(1, 1, 2)
    return corners, jnp.where(has_pixel[..., None], labels, ABSENT)


def draw_correction(
    keys: Key[Array, "b k"],
    predicted: Bool[Array, "b k h w"],
    targets: Targets,
    empty_error: Literal["background", "foreground", "none"],
) -> tuple[Float[Array, "b k 2"], Int[Array, "b k"]]:
    """Draws a point uniformly from the error region of each prediction.

    The label is foreground for a false negative pixel, background for a false positive.
    """
    inside, masks = targets.inside[:, None], targets.masks
    error = (predicted ^ masks) & inside
    if empty_error != "none":
        fallback = masks if empty_error == "foreground" else ~masks & inside
        is_right = ~jnp.any(error, axis=(-2, -1), keepdims=True)
        error = jnp.where(is_right, fallback, error)
    pixel, has_pixel = draw_pixel(keys, error & targets.valid[:, :, None, None])
    x, y = pixel[..., 0], pixel[..., 1]
    row = jnp.take_along_axis(masks, y[..., None, None], axis=2)[:, :, 0]
    in_target = jnp.take_along_axis(row, x[..., None], axis=2)[..., 0]
    label = jnp.where(in_target, FOREGROUND, BACKGROUND)
    return _to_input(pixel, targets.pixel_side), jnp.where(has_pixel, label, ABSENT)


def draw_pixel(
    keys: Key[Array, "b k"], regions: Bool[Array, "b k h w"]
) -> tuple[Int[Array, "b k 2"], Bool[Array, "b k"]]:
    """Draws one pixel (x, y) uniformly from each region.

    The n-th pixel of a region is located by its row, from the cumulative sum of the
    rows' counts, and then its column: one pass over the pixels and one random number
    per region, where a categorical draw would take a random number per pixel.

    Returns:
        The pixels, and whether each region has any.
    """
    rows = jnp.sum(regions, axis=-1, dtype=jnp.int32)
    until_row = jnp.cumsum(rows, axis=-1)
    count = until_row[..., -1]
    rank = draw_number(keys, jnp.maximum(count, 1))
    y = jnp.sum(until_row <= rank[..., None], axis=-1)
    y = jnp.minimum(y, regions.shape[-2] - 1)

    before_row = jnp.take_along_axis(until_row - rows, y[..., None], axis=-1)
    row = jnp.take_along_axis(regions, y[..., None, None], axis=2)[:, :, 0]
    until_pixel = jnp.cumsum(row, axis=-1, dtype=jnp.int32)
    x = jnp.sum(until_pixel <= rank[..., None] - before_row, axis=-1)
    x = jnp.minimum(x, regions.shape[-1] - 1)
    return jnp.stack([x, y], axis=-1), count > 0


def tight_box(
    masks: Bool[Array, "b k h w"],
) -> tuple[Int[Array, "b k 2"], Int[Array, "b k 2"], Bool[Array, "b k"]]:
    """Returns each mask's first and last pixel (x, y), and whether it has any."""
    columns, rows = jnp.any(masks, axis=-2), jnp.any(masks, axis=-1)
    boxes = box_of_occupied(columns, rows)
    return boxes[..., :2], boxes[..., 2:], jnp.any(rows, axis=-1)


def _of_each(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.vmap(jax.vmap(function))


def _to_input(
    pixel: Int[Array, "b k 2"], pixel_side: Float[Array, ""]
) -> Float[Array, "b k 2"]:
    # The centre of a target pixel, in input pixels named by their top left corners.
    return (pixel.astype(jnp.float32) + 0.5) * pixel_side - 0.5
