"""Materials: colours and patterns of surfaces, as rows of parameters.

A material is a row of a table; `samjax.data.synthetic.lighting.shade` gathers the row
of every pixel and evaluates all patterns of all objects in a single pass. Patterns are
defined in a frame that is rotated with the object but measured in image sides, so that
an object can have exactly the ground's material and differ only in phase.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.noise import NUM_PLANES, OCTAVES

MATERIAL_DRAWS = 80  # upper bound of the uniforms that a material reads


class Material(NamedTuple):
    """A surface. Colours are linear light, 0 to 1.

    Attributes:
        base: Background colour.
        ink: Colour of stripes, checks, dots and rings.
        stain: Colour of noise blotches.
        frequency: Cycles of the pattern per image side, along u and v.
        phase: Offset of the pattern in cycles.
        mix: Weights of stripes, checks, dots and rings.
        bias: Balance of base and ink.
        sharpness: Sharpness of the pattern's edges.
        ink_amount: Opacity of the ink.
        stain_amount: Opacity of the stain.
        stain_bias: Balance of base and stain.
        stain_sharpness: Sharpness of the blotches' edges.
        ridged: 0 for blotches, 1 for veins.
        grain: Strength of the noise that modulates the brightness.
        warp: Cycles by which noise distorts the pattern.
        bump: Strength of the noise in the surface normal.
        gloss: Strength of the specular light.
        shine: Exponent of the specular light, as a power of two.
        dome: Width of the rounded rim, in image sides.
        relief: Strength of the rounding.
        slope: Brightness gradient along x and y of the image.
        crease: Darkness of inner boundaries.
        noise: Weights of the noise planes.
    """

    base: Float[Array, " 3"]
    ink: Float[Array, " 3"]
    stain: Float[Array, " 3"]
    frequency: Float[Array, " 2"]
    phase: Float[Array, " 2"]
    mix: Float[Array, " 4"]
    bias: Float[Array, ""]
    sharpness: Float[Array, ""]
    ink_amount: Float[Array, ""]
    stain_amount: Float[Array, ""]
    stain_bias: Float[Array, ""]
    stain_sharpness: Float[Array, ""]
    ridged: Float[Array, ""]
    grain: Float[Array, ""]
    warp: Float[Array, ""]
    bump: Float[Array, ""]
    gloss: Float[Array, ""]
    shine: Float[Array, ""]
    dome: Float[Array, ""]
    relief: Float[Array, ""]
    slope: Float[Array, " 2"]
    crease: Float[Array, ""]
    noise: Float[Array, " planes"]


class Palette(NamedTuple):
    """The distribution of colours shared by the objects of a scene.

    Attributes:
        hue: Preferred hue, 0 to 1.
        spread: Deviation of hues from it; 1 for any hue.
        saturation: Factor of all saturations.
        low: Darkest value, 0 to 1.
        high: Brightest value, 0 to 1.
    """

    hue: Float[Array, ""]
    spread: Float[Array, ""]
    saturation: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


def albedo(
    material: Material,
    u: Float[Array, "h w"],
    v: Float[Array, "h w"],
    first: Float[Array, "h w"],
    second: Float[Array, "h w"],
) -> Float[Array, "3 h w"]:
    """Evaluates the pattern and colour of each pixel's material.

    Args:
        material: Fields of shape (fields, h, w) or (h, w).
        u: Position in the material's frame, in image sides.
        v: The other coordinate.
        first: The material's own noise.
        second: A second noise independent of the first.
    """
    s = 2 * jnp.pi * (material.frequency[0] * u + material.phase[0])
    t = 2 * jnp.pi * (material.frequency[1] * v + material.phase[1])
    warp = 2 * jnp.pi * material.warp
    ring = jnp.sin(jnp.sqrt(s * s + t * t) + warp * second)
    s, t = jnp.sin(s + warp * first), jnp.sin(t + warp * second)
    stripes, checks, dots, rings = material.mix
    pattern = stripes * s + 2 * checks * s * t + dots * (s + t) / 2 + rings * ring
    ink = jax.nn.sigmoid(material.sharpness * (pattern + material.bias))
    vein = 1.5 - 2.5 * jnp.abs(second)
    blotch = second + material.ridged * (vein - second)
    stain = jax.nn.sigmoid(material.stain_sharpness * (blotch + material.stain_bias))
    ink = ink * material.ink_amount
    stain = stain * material.stain_amount
    colour = material.base + ink[None] * (material.ink - material.base)
    colour = colour + stain[None] * (material.stain - colour)
    return colour * jnp.exp(material.grain * first)[None]


def sample_palette(draws: Draws) -> Palette:
    """Draws the palette of a scene."""
    low = draws.between(0.04, 0.35)
    return Palette(
        hue=_natural_hue(draws),
        spread=jnp.where(draws.chance(0.35), draws.between(0.02, 0.15), 1.0),
        saturation=draws.between(0.35, 1.0),
        low=low,
        high=jnp.minimum(low + draws.between(0.35, 0.9), 1.0),
    )


def sample_material(
    draws: Draws, palette: Palette, scale: Float[Array, ""]
) -> Material:
    """Draws a material for an object of half extent `scale`, in image sides."""
    hue, saturation, value = _sample_colour(draws, palette)
    base = _linear_rgb(hue, saturation, value)
    plain = draws.chance(0.45)
    kind = draws.pick((0.42, 0.2, 0.2, 0.18))
    cycles = draws.log_between(0.8, 9.0) / (2 * scale)
    cycles = jnp.minimum(cycles, 48.0) * jnp.where(draws.chance(0.3), 0.5, 1.0)
    ratio = jnp.where(kind == 3, draws.log_between(0.1, 1.0), 1.0)
    # The spectrum peaks at the scale of the object or up to 2.5 octaves finer.
    tilt = draws.between(0.2, 1.3)
    octave = jnp.log2(0.7 / scale) + draws.between(0.0, 2.5)
    order = jnp.arange(len(OCTAVES)) + 1.0
    weights = jnp.where(
        order < octave, jnp.exp(1.5 * (order - octave)), 2 ** (-tilt * (order - octave))
    )
    angle = draws.angle(len(OCTAVES))
    noise = jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1) * weights[:, None]
    noise = noise / jnp.linalg.norm(noise)
    glossy = draws.chance(0.3)
    stained = draws.chance(0.6)
    rounded = draws.chance(0.65)
    return Material(
        base=base,
        ink=_near_colour(draws, palette, hue, saturation, value),
        stain=_near_colour(draws, palette, hue, saturation, value),
        frequency=jnp.stack([cycles, cycles * ratio]),
        phase=draws.uniform(2),
        mix=jax.nn.one_hot(kind, 4),
        bias=draws.between(-0.6, 0.6),
        sharpness=draws.log_between(1.5, 16.0),
        ink_amount=jnp.where(plain, 0.0, draws.between(0.3, 1.0)),
        stain_amount=jnp.where(stained, draws.between(0.2, 1.0), 0.0),
        stain_bias=draws.between(-1.2, 0.8),
        stain_sharpness=draws.log_between(0.8, 8.0),
        ridged=jnp.where(draws.chance(0.3), 1.0, 0.0),
        grain=jnp.where(draws.chance(0.3), 0.4, 0.12) * draws.uniform(),
        warp=jnp.where(draws.chance(0.6), draws.log_between(0.02, 0.8), 0.0),
        bump=jnp.where(draws.chance(0.45), draws.log_between(0.001, 0.02), 0.0),
        gloss=jnp.where(glossy, draws.log_between(0.1, 1.0), 0.0),
        shine=draws.between(2.0, 6.0),
        dome=scale * draws.log_between(0.1, 1.3),
        relief=jnp.where(rounded, draws.between(0.3, 1.4), draws.between(0.0, 0.25)),
        slope=draws.between(-0.5, 0.5, 2) / jnp.maximum(scale, 0.1),
        crease=jnp.where(draws.chance(0.5), draws.between(0.1, 0.7), 0.0),
        noise=noise.reshape(NUM_PLANES),
    )


def derive(
    draws: Draws, parent: Material, fresh: Material, *, share: float
) -> Material:
    """Draws a part's material: a variation of the parent's, or a fresh one.

    Args:
        draws: Source of the choices.
        parent: The material of the whole.
        fresh: A new material.
        share: Probability of a variation of the parent's.
    """
    light = jnp.exp(draws.between(-0.7, 0.7) * jnp.where(draws.chance(0.25), 0.4, 1.0))
    swapped = draws.chance(0.3)
    turned = draws.chance(0.4)
    varied = parent._replace(
        base=jnp.where(swapped, parent.ink, parent.base * light),
        ink=jnp.where(swapped, parent.base, parent.ink * light),
        stain=parent.stain * light,
        frequency=jnp.where(turned, parent.frequency[::-1] * 1.5, parent.frequency),
        phase=draws.uniform(2),
        slope=fresh.slope,
        dome=fresh.dome,
    )
    shared = draws.chance(share)
    return jax.tree.map(lambda a, b: jnp.where(shared, a, b), varied, fresh)


def _sample_colour(draws: Draws, palette: Palette):
    hue = _natural_hue(draws)
    stray = palette.hue + palette.spread * draws.between(-1.0, 1.0)
    hue = jnp.where(palette.spread < 0.5, stray, hue)
    # Photos are mostly of low saturation with a few vivid objects.
    saturation = draws.uniform() ** 1.6 * palette.saturation
    value = palette.low + (palette.high - palette.low) * draws.uniform()
    return hue, saturation, value


def _near_colour(draws: Draws, palette: Palette, hue, saturation, value):
    other_hue, other_saturation, other_value = _sample_colour(draws, palette)
    near = draws.chance(0.7)
    hue = jnp.where(near, hue + draws.between(-0.06, 0.06), other_hue)
    saturation = jnp.where(near, saturation * draws.between(0.6, 1.4), other_saturation)
    contrast = draws.between(-0.35, 0.35)
    value = jnp.where(near, value + contrast, other_value)
    return _linear_rgb(hue, jnp.clip(saturation, 0, 1), jnp.clip(value, 0.02, 1))


def _natural_hue(draws: Draws) -> Float[Array, ""]:
    """Draws a hue: of earth and skin, of leaves, of sky and water, or any."""
    ranges = jnp.array([[0.0, 0.14], [0.17, 0.42], [0.5, 0.68], [0.0, 1.0]])
    low, high = ranges[draws.pick((0.42, 0.2, 0.2, 0.18))]
    return low + (high - low) * draws.uniform()


def _linear_rgb(hue, saturation, value) -> Float[Array, " 3"]:
    turn = (hue * 6 + jnp.array([0.0, 4.0, 2.0])) % 6
    pure = jnp.clip(jnp.abs(turn - 3) - 1, 0, 1)
    rgb = value * (1 - saturation + saturation * pure)
    # From display values to linear light, by gamma 2.2.
    return rgb**2.2
