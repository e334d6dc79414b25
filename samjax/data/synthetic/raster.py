"""Which leaf of which object each pixel shows, painted back to front.

The painting keeps only what depends on the outlines: the owner of each pixel, its depth
below the nearest edge, the distance to the next inner boundary and the light that
shadows left. Colours come later, in one pass over the pixels (`lighting`), so that the
cost of texture and light does not grow with the number of objects.

On a CPU the compiler computes a value again in every loop over the pixels that reads it.
The branches in here (`cond`, `switch`, `scan`) are where values are stored instead; without
them painting takes three times as long.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samjax.data.synthetic.objects import LEAVES, Ground, Things
from samjax.data.synthetic.parts import MAX_SUBPARTS, divide
from samjax.data.synthetic.shapes import MAX_CELLS, fold, outline_distance

IDS_PER_THING = MAX_CELLS * LEAVES


class Canvas(NamedTuple):
    """What was painted. Lengths are in image sides.

    Attributes:
        owner: `(thing * MAX_CELLS + instance) * LEAVES + leaf`; thing 0 is the ground,
            whose regions are its parts.
        depth: Distance below the nearest edge of the body or limb.
        crease: Distance to the nearest boundary between parts.
        light: Share of the direct light that shadows leave.
    """

    owner: Int[Array, "h w"]
    depth: Float[Array, "h w"]
    crease: Float[Array, "h w"]
    light: Float[Array, "h w"]


def pixel_grid(size: int) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Gives x and y of the pixels' centres, 0 to 1."""
    at = (jnp.arange(size) + 0.5) / size
    x = jnp.broadcast_to(at[None], (size, size))
    return x, x.T


def paint(
    things: Things,
    ground: Ground,
    planes: Float[Array, "planes h w"],
    light: Float[Array, " 2"],
) -> Canvas:
    """Paints the ground and then each object over what lies below.

    Args:
        things: The objects.
        ground: The ground.
        planes: The noise planes.
        light: x, y of the way that shadows fall.
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
        thing = jax.tree.map(
            lambda x: jax.lax.dynamic_index_in_dim(x, index, 0, False), things
        )
        return jax.lax.cond(
            thing.present,
            lambda: _paint_thing(canvas, thing, index + 1, x, y, planes, light),
            lambda: canvas,
        ), None

    return jax.lax.scan(step, canvas, jnp.argsort(things.nearness))[0]


def _regions(ground: Ground, x, y, planes) -> Int[Array, "h w"]:
    across = ground.normal[0] * (x - 0.5) + ground.normal[1] * (y - 0.5)
    waves = jnp.tensordot(ground.weights, planes, 1)
    region = jnp.zeros(x.shape, jnp.int32)
    for wave, amplitude, threshold in zip(
        waves, ground.waviness, ground.thresholds, strict=True
    ):
        region = region + (across + amplitude * wave > threshold)
    return region


def _paint_thing(canvas, thing, number, x, y, planes, light) -> Canvas:
    x, y = x - thing.center[0], y - thing.center[1]
    u = thing.inverse[0, 0] * x + thing.inverse[0, 1] * y
    v = thing.inverse[1, 0] * x + thing.inverse[1, 1] * y
    u, v, cell = fold(thing.outline, u, v)
    noise = jax.lax.cond(
        thing.outline.wobble > 0,
        lambda: jnp.tensordot(thing.outline.wobble_weights, planes, 1),
        lambda: jnp.zeros_like(x),
    )
    distance = outline_distance(thing.outline, u, v, noise)
    distance, leaf, depth, crease = divide(thing.parts, distance, u, v)
    distance = distance * thing.scale
    inside = distance < 0
    owner = (number * MAX_CELLS + cell) * LEAVES + leaf
    shade = 1 - _shadow(thing, distance, light)
    return Canvas(
        owner=jnp.where(inside, owner, canvas.owner),
        depth=jnp.where(inside, depth * thing.scale, canvas.depth),
        crease=jnp.where(inside, crease * thing.scale, canvas.crease),
        light=jnp.where(inside, 1.0, canvas.light * shade),
    )


def _shadow(thing, distance, light) -> Float[Array, "h w"]:
    """How dark a thing's cast and contact shadows are around it."""
    size = distance.shape[-1]
    reach = max(1, round(0.08 * size))
    offset = jnp.clip(jnp.round(light * thing.height * size), -reach, reach)
    column, row = reach - offset.astype(jnp.int32)
    padded = jnp.pad(distance, reach, mode="edge")
    moved = jax.lax.dynamic_slice(padded, (row, column), distance.shape)
    cast = jnp.clip(0.5 - moved / thing.softness, 0, 1)
    contact = jnp.exp(-jnp.maximum(distance, 0) / (0.4 * thing.softness + 0.004))
    return 1 - (1 - thing.shadow * cast) * (1 - thing.contact * contact)
