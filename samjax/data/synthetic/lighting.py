"""Shading: from the owners of pixels to linear light, with relief, shadows and highlights.

One pass over the pixels. Each pixel gathers the row of its leaf from a table of
materials; normals are computed from the depth below the nearest edge (rounded rims) and
from the material's noise (bumps).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.materials import albedo
from samjax.data.synthetic.objects import LEAVES
from samjax.data.synthetic.raster import IDS_PER_OBJECT, Canvas, pixel_grid
from samjax.data.synthetic.surfaces import Surface, look_up

_STRIP_PIXELS = 4096


class Light(NamedTuple):
    """The light of a scene.

    Attributes:
        direction: x, y, z towards the light, of length 1.
        ambient: Fraction of the light that is ambient.
        tint: Colour of the direct light.
        patches: Strength of the smooth variation of light over the image.
        dapple: Strength of hard-edged patches, as under a tree.
        variety: Variation of brightness and colour among repeated instances.
    """

    direction: Float[Array, " 3"]
    ambient: Float[Array, ""]
    tint: Float[Array, " 3"]
    patches: Float[Array, ""]
    dapple: Float[Array, ""]
    variety: Float[Array, ""]


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


def shade(
    canvas: Canvas,
    surfaces: Surface,
    planes: Float[Array, "planes h w"],
    light: Light,
    num_objects: int,
    draws: Draws,
) -> tuple[Float[Array, "3 h w"], Float[Array, "h w"]]:
    """Computes the linear light and the defocus of each pixel.

    Args:
        canvas: The painted canvas.
        surfaces: The table of materials.
        planes: The noise planes.
        light: The light.
        num_objects: Number of objects, present or not, on the canvas.
        draws: Source of the variation among repeated instances.
    """
    size = canvas.owner.shape[0]
    variety = _sample_variety(num_objects, light, draws)
    # A pixel reads about fifty values of its material: strips of the image keep them in
    # a core's cache. A halo of one pixel provides the neighbours for slopes.
    rows = _strip_rows(size)
    inputs = (*canvas, *pixel_grid(size), planes)
    padded = [_pad(x) for x in inputs]

    def shade_strip(top):
        *painted, x, y, noise = [
            jax.lax.dynamic_slice_in_dim(array, top, rows + 2, array.ndim - 2)
            for array in padded
        ]
        shaded = _shade_pixels(Canvas(*painted), x, y, noise, surfaces, light, variety)
        return [x[..., 1:-1, 1:-1] for x in shaded]

    colours, blur = jax.lax.map(shade_strip, jnp.arange(0, size, rows))
    return jnp.moveaxis(colours, 0, 1).reshape(3, size, size), blur.reshape(size, size)


def _strip_rows(size: int) -> int:
    """Returns the number of rows of a strip, a divisor of the size."""
    rows = 8
    while size % (2 * rows) == 0 and 2 * rows * size <= _STRIP_PIXELS:
        rows *= 2
    return rows


def _pad(values: Array) -> Array:
    return jnp.pad(values, ((0, 0),) * (values.ndim - 2) + ((1, 1), (1, 1)), "edge")


def _shade_pixels(
    canvas: Canvas,
    x: Float[Array, "h w"],
    y: Float[Array, "h w"],
    planes: Float[Array, "planes h w"],
    surfaces: Surface,
    light: Light,
    variety: Float[Array, "instances 3"],
) -> tuple[Float[Array, "3 h w"], Float[Array, "h w"]]:
    instance = canvas.owner // LEAVES
    row = (canvas.owner // IDS_PER_OBJECT) * LEAVES + canvas.owner % LEAVES
    surface = look_up(surfaces, row)
    material = surface.material
    x, y = x - surface.center[0], y - surface.center[1]
    u = surface.turn[0] * x + surface.turn[1] * y
    v = surface.turn[0] * y - surface.turn[1] * x
    # Two independent noises of a material: its weights, and the same turned by 90
    # degrees in each octave (`noise`).
    even, odd = planes[0::2], planes[1::2]
    first = (material.noise[0::2] * even + material.noise[1::2] * odd).sum(0)
    second = (material.noise[0::2] * odd - material.noise[1::2] * even).sum(0)
    # Perspective: the pattern of a receding surface shrinks with distance.
    far = 1 / (1 + surface.tilt * u)
    colour = albedo(material, u * far, v * far, first, second)
    own = variety.at[instance].get(mode="promise_in_bounds")
    gradient = material.slope[0] * u + material.slope[1] * v
    colour = colour * jnp.exp(jnp.clip(gradient, -0.8, 0.8))[None]
    colour = colour * jnp.moveaxis(own, -1, 0)
    diffuse, specular = _reflect(
        canvas, instance, material, first, light, x.shape[1] - 2
    )
    patches = jnp.exp(light.patches * planes[0])
    hard = jax.nn.sigmoid(6 * (planes[4] + 0.5 * planes[6] + 0.3 * planes[8]))
    direct = canvas.light * patches * (1 - light.dapple * hard)
    glow = light.ambient * (0.5 + 0.5 * canvas.light)
    crease = 1 - material.crease * jnp.exp(-canvas.crease / 0.006)
    sun = (1 - light.ambient) * light.tint[:, None, None] * (diffuse * direct)[None]
    lit = (glow[None] + sun) * crease[None]
    return colour * lit + (specular * direct)[None], surface.blur


def _sample_variety(
    num_objects: int, light: Light, draws: Draws
) -> Float[Array, "instances 3"]:
    """Draws a brightness and a tint for each instance, so that repeated ones differ."""
    count = (num_objects + 1) * IDS_PER_OBJECT // LEAVES
    brightness = draws.between(-1.0, 1.0, count, 1)
    tint = 0.35 * draws.between(-1.0, 1.0, count, 3)
    return jnp.exp(light.variety * (brightness + tint))


def _reflect(canvas, instance, material, noise, light, size):
    """Returns diffuse light relative to a flat surface, and specular light."""
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
    """Central difference per pixel that excludes neighbours of other instances."""
    total = jnp.zeros_like(values)
    for step in (-1, 1):
        neighbour = jnp.roll(values, -step, axis)
        same = jnp.roll(instance, -step, axis) == instance
        total = total + jnp.where(same, step * (neighbour - values), 0.0) / 2
    return total
