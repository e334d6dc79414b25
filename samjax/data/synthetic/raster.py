"""Rasterization: the leaf of the object at each pixel, painted back to front.

The canvas has only properties of the outlines: the owner of each pixel, its depth below
the nearest edge, the distance to the next inner boundary and the light that shadows
leave. Colours are computed later, in one pass over the pixels (`lighting`), so that the
cost of texture and light does not grow with the number of objects.

On a CPU, XLA recomputes a value in every loop over the pixels that reads it. The
control flow here (`cond`, `switch`, `scan`) forces values to be stored; without it
painting takes three times as long.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samjax.data.synthetic.objects import LEAVES, Ground, SceneObjects
from samjax.data.synthetic.parts import MAX_SUBPARTS, divide
from samjax.data.synthetic.shapes import MAX_CELLS, fold, outline_distance

IDS_PER_OBJECT = MAX_CELLS * LEAVES


class Canvas(NamedTuple):
    """The painted canvas. Lengths are in image sides.

    Attributes:
        owner: `(index * MAX_CELLS + instance) * LEAVES + leaf` for the object with that
            index; object 0 is the ground, whose regions are its parts.
        depth: Distance below the nearest edge of the body or limb.
        crease: Distance to the nearest boundary between parts.
        light: Fraction of the direct light that shadows leave.
    """

    owner: Int[Array, "h w"]
    depth: Float[Array, "h w"]
    crease: Float[Array, "h w"]
    light: Float[Array, "h w"]


def pixel_grid(size: int) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Returns x and y of the pixels' centres, 0 to 1."""
    at = (jnp.arange(size) + 0.5) / size
    x = jnp.broadcast_to(at[None], (size, size))
    return x, x.T


def paint(
    objects: SceneObjects,
    ground: Ground,
    planes: Float[Array, "planes h w"],
    light: Float[Array, " 2"],
) -> Canvas:
    """Paints the ground and then each object over the canvas, far to near.

    Args:
        objects: The objects.
        ground: The ground.
        planes: The noise planes.
        light: x, y of the direction in which shadows fall.
    """
    size = planes.shape[-1]
    x, y = pixel_grid(size)
    far = jnp.full((size, size), 9.0)
    canvas = Canvas(
        owner=_regions(ground, x, y, planes) * MAX_SUBPARTS,
        depth=far,
        crease=far,
        light=jnp.ones((size, size)),
    )

    def step(canvas, index):
        obj = jax.tree.map(
            lambda x: jax.lax.dynamic_index_in_dim(x, index, 0, False), objects
        )
        # Object 0 is the ground.
        return jax.lax.cond(
            obj.present,
            lambda: _paint_object(canvas, obj, index + 1, x, y, planes, light),
            lambda: canvas,
        ), None

    return jax.lax.scan(step, canvas, jnp.argsort(objects.nearness))[0]


def _regions(ground: Ground, x, y, planes) -> Int[Array, "h w"]:
    across = ground.normal[0] * (x - 0.5) + ground.normal[1] * (y - 0.5)
    waves = jnp.tensordot(ground.weights, planes, 1)
    region = jnp.zeros(x.shape, jnp.int32)
    for wave, amplitude, threshold in zip(
        waves, ground.waviness, ground.thresholds, strict=True
    ):
        region = region + (across + amplitude * wave > threshold)
    return region


def _paint_object(canvas, obj, index, x, y, planes, light) -> Canvas:
    x, y = x - obj.center[0], y - obj.center[1]
    u = obj.inverse[0, 0] * x + obj.inverse[0, 1] * y
    v = obj.inverse[1, 0] * x + obj.inverse[1, 1] * y
    u, v, cell = fold(obj.outline, u, v)
    noise = jax.lax.cond(
        obj.outline.wobble > 0,
        lambda: jnp.tensordot(obj.outline.wobble_weights, planes, 1),
        lambda: jnp.zeros_like(x),
    )
    distance = outline_distance(obj.outline, u, v, noise)
    distance, leaf, depth, crease = divide(obj.parts, distance, u, v)
    distance = distance * obj.scale
    inside = distance < 0
    owner = (index * MAX_CELLS + cell) * LEAVES + leaf
    shade = 1 - _shadow(obj, distance, light)
    return Canvas(
        owner=jnp.where(inside, owner, canvas.owner),
        depth=jnp.where(inside, depth * obj.scale, canvas.depth),
        crease=jnp.where(inside, crease * obj.scale, canvas.crease),
        light=jnp.where(inside, 1.0, canvas.light * shade),
    )


def _shadow(obj, distance, light) -> Float[Array, "h w"]:
    """Returns the darkness of an object's cast and contact shadows."""
    size = distance.shape[-1]
    reach = max(1, round(0.08 * size))
    offset = jnp.clip(jnp.round(light * obj.height * size), -reach, reach)
    column, row = reach - offset.astype(jnp.int32)
    padded = jnp.pad(distance, reach, mode="edge")
    moved = jax.lax.dynamic_slice(padded, (row, column), distance.shape)
    cast = jnp.clip(0.5 - moved / obj.softness, 0, 1)
    contact = jnp.exp(-jnp.maximum(distance, 0) / (0.4 * obj.softness + 0.004))
    return 1 - (1 - obj.shadow * cast) * (1 - obj.contact * contact)
