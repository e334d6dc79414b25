"""The table of all materials of a scene, one row per leaf, and its look-up per pixel."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samjax.data.synthetic.materials import Material
from samjax.data.synthetic.objects import LEAVES, Ground, Things
from samjax.data.synthetic.parts import MAX_PARTS, MAX_SUBPARTS


class Surface(NamedTuple):
    """One row of the table that pixels look up.

    Attributes:
        center: x, y of the material's origin in image sides.
        turn: Cosine and sine of the material's angle.
        blur: How far out of focus, 0 to 1.
        tilt: How fast the surface recedes along the material's u.
        material: The material.
    """

    center: Float[Array, "rows 2"]
    turn: Float[Array, "rows 2"]
    blur: Float[Array, " rows"]
    tilt: Float[Array, " rows"]
    material: Material


def surface_table(things: Things, ground: Ground) -> Surface:
    """Lays out the materials of all leaves as rows; row `thing * LEAVES + leaf`."""
    count, parts = things.present.shape[0], things.materials.gloss.shape[1]
    # A camouflaged thing wears the material of the region that it lies on.
    region = _region_below(things, ground)
    worn = jax.tree.map(lambda x: x[region][:, None, None], ground.materials)
    materials = jax.tree.map(
        lambda own, other: jnp.where(
            things.camouflaged.reshape(-1, *[1] * (own.ndim - 1)),
            jnp.broadcast_to(other, own.shape),
            own,
        ),
        things.materials,
        worn._replace(
            relief=things.materials.relief,
            dome=things.materials.dome,
            phase=things.materials.phase,
            # Alike in all else, parts show by the lines between them.
            crease=jnp.maximum(things.materials.crease, 0.35),
            noise=jnp.broadcast_to(
                _own_noise(worn.noise), things.materials.noise.shape
            ),
        ),
    )
    # Subpart 0 wears the part's material and all others the subpart's.
    wears = jnp.minimum(jnp.arange(MAX_SUBPARTS), 1)
    part = jnp.minimum(jnp.arange(MAX_PARTS), parts - 1)
    materials = jax.tree.map(lambda x: x[:, part][:, :, wears], materials)
    below = jax.tree.map(
        lambda x: jnp.broadcast_to(
            x[None, :, None], (1, MAX_PARTS, MAX_SUBPARTS, *x.shape[1:])
        ),
        ground.materials,
    )
    material = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b]).reshape(-1, *a.shape[3:]),
        below,
        materials,
    )
    rows = (count + 1) * LEAVES

    def spread(first, rest):
        both = jnp.concatenate([first[None], rest])
        return jnp.repeat(both, LEAVES, axis=0, total_repeat_length=rows)

    turn = jnp.where(things.camouflaged[:, None], ground.turn[None], things.turn)
    return Surface(
        center=spread(jnp.array([0.5, 0.5]), things.center),
        turn=spread(ground.turn, turn),
        blur=spread(ground.blur, things.blur),
        tilt=spread(ground.tilt, jnp.zeros_like(things.blur)),
        material=material,
    )


def _own_noise(noise: Float[Array, "things 1 1 planes"]):
    """Gives each thing noise of the same look but another course.

    With the ground's very own noise a thing without relief could not be seen at all.
    """
    angle = 1.3 * (jnp.arange(noise.shape[0]) + 1.0)[:, None, None, None]
    even, odd = noise[..., 0::2], noise[..., 1::2]
    pairs = (
        jnp.cos(angle) * even - jnp.sin(angle) * odd,
        jnp.sin(angle) * even + jnp.cos(angle) * odd,
    )
    return jnp.stack(pairs, -1).reshape(noise.shape)


def _region_below(things: Things, ground: Ground) -> Int[Array, " things"]:
    across = (things.center - 0.5) @ ground.normal
    return (across[:, None] > ground.thresholds[None]).sum(1)


def look_up(surfaces: Surface, row: Int[Array, "h w"]) -> Surface:
    """Gathers each pixel's row, fields first."""
    leaves, structure = jax.tree.flatten(surfaces)
    widths = [leaf.reshape(leaf.shape[0], -1).shape[1] for leaf in leaves]
    table = jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], 1)
    found = table.at[row].get(mode="promise_in_bounds")
    fields = jnp.moveaxis(found, -1, 0)
    out, at = [], 0
    for leaf, width in zip(leaves, widths, strict=True):
        field = fields[at : at + width]
        out.append(field if leaf.ndim > 1 else field[0])
        at += width
    return jax.tree.unflatten(structure, out)
