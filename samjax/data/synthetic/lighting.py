"""From owners to linear light: materials, relief, shadows and highlights.

One pass over the pixels. Each pixel looks up the row of its leaf in a table of materials;
normals come from the depth below the nearest edge (rounded rims) and from the material's
noise (bumps).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.materials import Material, albedo
from samjax.data.synthetic.objects import LEAVES, Ground, Things
from samjax.data.synthetic.parts import MAX_PARTS, MAX_SUBPARTS
from samjax.data.synthetic.raster import IDS_PER_THING, Canvas, pixel_grid


class Light(NamedTuple):
    """The light of a scene.

    Attributes:
        direction: x, y, z towards the light, of length 1.
        ambient: Share of the light that comes from everywhere.
        tint: Colour of the direct light.
        patches: Strength of slow changes of the light over the image.
        dapple: Strength of hard patches, as under a tree.
        variety: How unlike like instances are in brightness and colour.
    """

    direction: Float[Array, " 3"]
    ambient: Float[Array, ""]
    tint: Float[Array, " 3"]
    patches: Float[Array, ""]
    dapple: Float[Array, ""]
    variety: Float[Array, ""]


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


def sample_light(draws: Draws) -> Light:
    """Draws the light of a scene."""
    angle, slant = draws.angle(), draws.between(0.3, 1.3)
    return Light(
        direction=jnp.stack(
            [
                jnp.cos(angle) * jnp.sin(slant),
                jnp.sin(angle) * jnp.sin(slant),
                jnp.cos(slant),
            ]
        ),
        ambient=draws.between(0.2, 0.8),
        tint=1 + draws.between(-0.15, 0.15) * jnp.array([1.0, 0.1, -1.0]),
        patches=draws.between(0.0, 0.35),
        dapple=jnp.where(draws.chance(0.12), draws.between(0.2, 0.7), 0.0),
        variety=jnp.where(draws.chance(0.3), 0.8, 0.15) * draws.uniform(),
    )


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


def _region_below(things: Things, ground: Ground) -> Int[Array, " things"]:
    across = (things.center - 0.5) @ ground.normal
    return (across[:, None] > ground.thresholds[None]).sum(1)


def shade(
    canvas: Canvas,
    surfaces: Surface,
    planes: Float[Array, "planes h w"],
    light: Light,
    things: int,
    draws: Draws,
) -> tuple[Float[Array, "3 h w"], Float[Array, "h w"]]:
    """Computes the linear light of each pixel and how far out of focus it is."""
    size = canvas.owner.shape[0]
    x, y = pixel_grid(size)
    instance = canvas.owner // LEAVES
    row = (canvas.owner // IDS_PER_THING) * LEAVES + canvas.owner % LEAVES
    surface = _look_up(surfaces, row)
    material = surface.material
    x, y = x - surface.center[0], y - surface.center[1]
    u = surface.turn[0] * x + surface.turn[1] * y
    v = surface.turn[0] * y - surface.turn[1] * x
    even, odd = planes[0::2], planes[1::2]
    first = (material.noise[0::2] * even + material.noise[1::2] * odd).sum(0)
    second = (material.noise[0::2] * odd - material.noise[1::2] * even).sum(0)
    # A receding surface shows its pattern smaller the farther it is.
    far = 1 / (1 + surface.tilt * u)
    colour = albedo(material, u * far, v * far, first, second)
    colour = colour * _variety(instance, things, light, draws)
    gradient = material.slope[0] * u + material.slope[1] * v
    colour = colour * jnp.exp(jnp.clip(gradient, -0.8, 0.8))[None]
    diffuse, specular = _reflect(canvas, instance, material, first, light)
    patches = jnp.exp(light.patches * planes[0])
    hard = jax.nn.sigmoid(6 * (planes[4] + 0.5 * planes[6] + 0.3 * planes[8]))
    direct = canvas.light * patches * (1 - light.dapple * hard)
    glow = light.ambient * (0.5 + 0.5 * canvas.light)
    crease = 1 - material.crease * jnp.exp(-canvas.crease / 0.006)
    lit = (
        glow[None]
        + (1 - light.ambient) * (diffuse * direct)[None] * (light.tint[:, None, None])
    )
    out = colour * lit * crease[None] + (specular * direct)[None]
    return out, surface.blur


def _look_up(surfaces: Surface, row: Int[Array, "h w"]) -> Surface:
    """Gathers each pixel's row, fields first."""
    leaves, structure = jax.tree.flatten(surfaces)
    widths = [leaf.reshape(leaf.shape[0], -1).shape[1] for leaf in leaves]
    table = jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], 1)
    fields = jnp.moveaxis(table[row], -1, 0)
    out, at = [], 0
    for leaf, width in zip(leaves, widths, strict=True):
        field = fields[at : at + width]
        out.append(field if leaf.ndim > 1 else field[0])
        at += width
    return jax.tree.unflatten(structure, out)


def _variety(instance, things, light, draws) -> Float[Array, "3 h w"]:
    """A brightness and a tint for each instance, so that like things differ."""
    count = (things + 1) * IDS_PER_THING // LEAVES
    table = jnp.exp(light.variety * draws.between(-1.0, 1.0, count, 1)) * jnp.exp(
        0.35 * light.variety * draws.between(-1.0, 1.0, count, 3)
    )
    return jnp.moveaxis(table[instance], -1, 0)


def _reflect(canvas, instance, material, noise, light):
    """Diffuse light relative to a flat surface, and specular light."""
    size = instance.shape[0]
    rim = jnp.clip(1 - canvas.depth / material.dome, 0, 1) * material.relief
    slopes = []
    for axis in (1, 0):
        rise = _slope(canvas.depth, instance, axis) * size
        bump = _slope(noise, instance, axis) * size * material.bump
        slopes.append(rim * jnp.clip(rise, -1.2, 1.2) + jnp.clip(bump, -0.6, 0.6))
    # The surface rises towards the inside, so its normal leans outwards.
    normal = jnp.stack([-slopes[0], -slopes[1], jnp.ones_like(rim)])
    normal = normal * jax.lax.rsqrt((normal**2).sum(0, keepdims=True))
    direction = light.direction[:, None, None]
    diffuse = jnp.maximum((normal * direction).sum(0), 0) / light.direction[2]
    half = light.direction + jnp.array([0.0, 0.0, 1.0])
    half = half / jnp.linalg.norm(half)
    cosine = jnp.maximum((normal * half[:, None, None]).sum(0), 1e-3)
    specular = material.gloss * jnp.exp(jnp.log(cosine) * jnp.exp2(material.shine))
    return jnp.minimum(diffuse, 2.5), specular


def _slope(values, instance, axis) -> Float[Array, "h w"]:
    """Central difference per pixel that does not look across objects' edges."""
    total = jnp.zeros_like(values)
    for step in (-1, 1):
        neighbour = jnp.roll(values, -step, axis)
        same = jnp.roll(instance, -step, axis) == instance
        total = total + jnp.where(same, step * (neighbour - values), 0.0) / 2
    return total
