"""Table of the materials of a scene, one row per leaf, and the lookup per pixel."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samjax.data.synthetic.materials import Material
from samjax.data.synthetic.objects import LEAVES, Ground, SceneObjects
from samjax.data.synthetic.parts import MAX_PARTS, MAX_SUBPARTS


class Surface(NamedTuple):
    """Rows of the material table.

    Attributes:
        center: x, y of the material's origin in image sides.
        turn: Cosine and sine of the material's angle.
        blur: Defocus, 0 to 1.
        tilt: Rate at which the surface recedes along the material's u.
        material: The material.
    """

    center: Float[Array, "rows 2"]
    turn: Float[Array, "rows 2"]
    blur: Float[Array, " rows"]
    tilt: Float[Array, " rows"]
    material: Material


def surface_table(objects: SceneObjects, ground: Ground) -> Surface:
    """Builds the table of all leaves' materials; row `index * LEAVES + leaf`.

    Object 0 is the ground.
    """
    count, parts = objects.present.shape[0], objects.materials.gloss.shape[1]
    # A camouflaged object has the material of the ground's region at its centre.
    region = _region_below(objects, ground)
    camouflage = jax.tree.map(lambda x: x[region][:, None, None], ground.materials)
    materials = jax.tree.map(
        lambda own, other: jnp.where(
            objects.camouflaged.reshape(-1, *[1] * (own.ndim - 1)),
            jnp.broadcast_to(other, own.shape),
            own,
        ),
        objects.materials,
        camouflage._replace(
            relief=objects.materials.relief,
            dome=objects.materials.dome,
            phase=objects.materials.phase,
            # Parts of the same material are visible only by the lines between them.
            crease=jnp.maximum(objects.materials.crease, 0.35),
            noise=jnp.broadcast_to(
                _own_noise(camouflage.noise), objects.materials.noise.shape
            ),
        ),
    )
    # Subpart 0 has the part's material and all others the subpart's.
    subpart = jnp.minimum(jnp.arange(MAX_SUBPARTS), 1)
    part = jnp.minimum(jnp.arange(MAX_PARTS), parts - 1)
    materials = jax.tree.map(lambda x: x[:, part][:, :, subpart], materials)
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

    turn = jnp.where(objects.camouflaged[:, None], ground.turn[None], objects.turn)
    return Surface(
        center=spread(jnp.array([0.5, 0.5]), objects.center),
        turn=spread(ground.turn, turn),
        blur=spread(ground.blur, objects.blur),
        tilt=spread(ground.tilt, jnp.zeros_like(objects.blur)),
        material=material,
    )


def _own_noise(noise: Float[Array, "objects 1 1 planes"]):
    """Returns noise weights with the ground's spectrum but another field per object.

    With exactly the ground's noise an object without relief would be invisible.
    """
    # A rotation of the pair of planes of each octave keeps its power.
    angle = 1.3 * (jnp.arange(noise.shape[0]) + 1.0)[:, None, None, None]
    even, odd = noise[..., 0::2], noise[..., 1::2]
    pairs = (
        jnp.cos(angle) * even - jnp.sin(angle) * odd,
        jnp.sin(angle) * even + jnp.cos(angle) * odd,
    )
    return jnp.stack(pairs, -1).reshape(noise.shape)


def _region_below(objects: SceneObjects, ground: Ground) -> Int[Array, " objects"]:
    across = (objects.center - 0.5) @ ground.normal
    return (across[:, None] > ground.thresholds[None]).sum(1)


def look_up(surfaces: Surface, row: Int[Array, "h w"]) -> Surface:
    """Gathers the row of each pixel, with the fields along the first axis."""
    leaves, structure = jax.tree.flatten(surfaces)
    widths = [leaf.reshape(leaf.shape[0], -1).shape[1] for leaf in leaves]
    table = jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], 1)
    # A single gather from a concatenated table instead of one per field.
    gathered = table.at[row].get(mode="promise_in_bounds")
    fields = jnp.moveaxis(gathered, -1, 0)
    out, at = [], 0
    for leaf, width in zip(leaves, widths, strict=True):
        field = fields[at : at + width]
        out.append(field if leaf.ndim > 1 else field[0])
        at += width
    return jax.tree.unflatten(structure, out)
