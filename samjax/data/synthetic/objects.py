"""Draws the things of a scene: their outlines, parts, places, materials and order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.materials import (
    MATERIAL_DRAWS,
    Material,
    Palette,
    derive,
    sample_material,
)
from samjax.data.synthetic.noise import NUM_PLANES, OCTAVES
from samjax.data.synthetic.parts import MAX_PARTS, MAX_SUBPARTS, Parts, sample_parts
from samjax.data.synthetic.shapes import Outline, sample_outline

LEAVES = MAX_PARTS * MAX_SUBPARTS  # leaves of one instance
_DRAWS = 900  # more than one object's choices


class Things(NamedTuple):
    """The objects of a scene along the first axis.

    Attributes:
        nearness: Objects of more nearness hide those of less.
        present: Whether the object is there.
        outline: Its outline.
        parts: Its parts.
        center: x, y in image sides.
        scale: Half extent in image sides.
        inverse: Image frame to object frame, after the centre is taken off.
        turn: Cosine and sine of the angle of its materials.
        height: How far its shadow falls, in image sides.
        softness: Width of the shadow's edge, in image sides.
        shadow: How dark the shadow is.
        contact: How dark the ground is where the object touches it.
        blur: How far out of focus it is, 0 to 1.
        camouflaged: Whether it wears the ground's material.
        materials: Of each leaf, (things, parts, 2): the part's and its subpart's.
    """

    nearness: Float[Array, " things"]
    present: Bool[Array, " things"]
    outline: Outline
    parts: Parts
    center: Float[Array, "things 2"]
    scale: Float[Array, " things"]
    inverse: Float[Array, "things 2 2"]
    turn: Float[Array, "things 2"]
    height: Float[Array, " things"]
    softness: Float[Array, " things"]
    shadow: Float[Array, " things"]
    contact: Float[Array, " things"]
    blur: Float[Array, " things"]
    camouflaged: Bool[Array, " things"]
    materials: Material


class Ground(NamedTuple):
    """What lies behind all objects: up to four regions split by wavy lines.

    Attributes:
        normal: Direction across the regions.
        thresholds: Where one region ends and the next begins.
        waviness: Amplitude of the noise on each line.
        weights: Weights of the noise planes for each line.
        turn: Cosine and sine of the angle of the materials.
        blur: How far out of focus the ground is, 0 to 1.
        tilt: How fast the ground recedes towards its far side, 0 for a wall.
        materials: Of each region.
    """

    normal: Float[Array, " 2"]
    thresholds: Float[Array, " lines"]
    waviness: Float[Array, " lines"]
    weights: Float[Array, "lines planes"]
    turn: Float[Array, " 2"]
    blur: Float[Array, ""]
    tilt: Float[Array, ""]
    materials: Material


def sample_things(key: PRNGKeyArray, palette: Palette, config: SceneConfig) -> Things:
    """Draws all objects of a scene, large ones mostly behind."""
    count_key, rows_key = jax.random.split(key)
    rows = jax.random.uniform(rows_key, (config.num_objects, _DRAWS))
    things = jax.vmap(lambda row: _sample_thing(Draws(row), palette, config))(rows)
    count = jax.random.randint(
        count_key, (), config.min_objects, config.num_objects + 1
    )
    return things._replace(present=jnp.arange(config.num_objects) < count)


def _sample_thing(draws: Draws, palette: Palette, config: SceneConfig) -> Things:
    repeats = draws.chance(config.repetition)
    scale = draws.log_between(config.min_scale, config.max_scale)
    # Of two draws the larger, for some: photos are of things that fill the frame.
    other = draws.log_between(config.min_scale, config.max_scale)
    scale = jnp.where(draws.chance(0.35), jnp.maximum(scale, other), scale)
    smallest = max(config.min_scale, 0.02)
    scale = jnp.where(repeats, jnp.clip(scale * 0.4, smallest, 0.15), scale)
    outline = sample_outline(draws, scale, repeats)
    parts = sample_parts(draws, config.max_parts)
    upright = draws.chance(0.4)
    angle = jnp.where(upright, 0.1 * draws.between(-1.0, 1.0), draws.angle())
    aspect = jnp.exp(draws.between(-0.6, 0.6))
    shear = jnp.where(draws.chance(0.4), draws.between(-0.5, 0.5), 0.0)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    rotation = jnp.stack([jnp.stack([cosine, sine]), jnp.stack([-sine, cosine])])
    stretch = jnp.stack([jnp.sqrt(aspect), 1 / jnp.sqrt(aspect)])
    skew = jnp.eye(2).at[0, 1].set(shear)
    lifted = draws.chance(0.3)
    return Things(
        nearness=1.2 * draws.uniform() - 0.35 * jnp.log(scale),
        present=jnp.asarray(True),
        outline=outline,
        parts=parts,
        center=draws.between(-0.02, 1.02, 2),
        scale=scale,
        inverse=(skew @ rotation) / (stretch * scale)[:, None],
        turn=jnp.stack([cosine, sine]),
        height=jnp.where(lifted, draws.between(0.01, 0.06), scale * 0.08),
        softness=draws.log_between(0.004, 0.05),
        shadow=draws.uniform() ** 0.5 * 0.8 * draws.chance(0.75),
        contact=draws.uniform() * 0.6 * draws.chance(0.6),
        blur=draws.uniform(),
        camouflaged=draws.chance(config.camouflage),
        materials=_sample_leaf_materials(draws, palette, scale, config),
    )


def _sample_leaf_materials(draws, palette, scale, config) -> Material:
    """The material of each part and of each part's part."""
    fresh = draws.each(
        config.max_parts + 1,
        MATERIAL_DRAWS,
        lambda draws: sample_material(draws, palette, scale * draws.between(0.6, 1.0)),
    )
    body = jax.tree.map(lambda x: x[0], fresh)
    rows = draws.uniform(config.max_parts, 20)

    def sample(row, fresh: Material) -> Material:
        draws = Draws(row)
        part = derive(draws, body, fresh, share=0.6)
        fresh = part._replace(base=fresh.ink, ink=fresh.stain, mix=fresh.mix)
        sub = derive(draws, part, fresh, share=0.5)
        return jax.tree.map(lambda *pair: jnp.stack(pair), part, sub)

    parts = jax.vmap(sample)(rows, jax.tree.map(lambda x: x[1:], fresh))
    return jax.tree.map(
        lambda whole, rest: jnp.concatenate([jnp.stack([whole, whole])[None], rest]),
        body,
        parts,
    )


def sample_ground(draws: Draws, palette: Palette) -> Ground:
    """Draws the ground's regions and materials."""
    lines = MAX_PARTS - 1
    level = draws.chance(0.7)
    angle = jnp.where(level, jnp.pi / 2 + draws.between(-0.15, 0.15), draws.angle())
    count = draws.pick((0.35, 0.35, 0.2, 0.1))
    thresholds = draws.between(-0.4, 0.4, lines)
    decay = draws.between(0.4, 1.6)
    amplitude = 2 ** (-decay * jnp.arange(len(OCTAVES)))
    phase = draws.angle(lines, len(OCTAVES))
    weights = jnp.stack([jnp.cos(phase), jnp.sin(phase)], -1) * amplitude[None, :, None]
    tilted = draws.chance(0.4)
    turn = jnp.where(tilted | draws.chance(0.5), angle, draws.angle())
    materials = draws.each(
        MAX_PARTS,
        MATERIAL_DRAWS + 1,
        lambda draws: sample_material(draws, palette, draws.log_between(0.08, 0.6)),
    )
    return Ground(
        normal=jnp.stack([jnp.cos(angle), jnp.sin(angle)]),
        thresholds=jnp.where(jnp.arange(lines) < count, thresholds, 9.0),
        waviness=draws.log_between(0.002, 0.15, lines),
        weights=weights.reshape(lines, NUM_PLANES),
        turn=jnp.stack([jnp.cos(turn), jnp.sin(turn)]),
        blur=draws.uniform(),
        tilt=jnp.where(tilted, draws.between(0.4, 1.3), 0.0),
        materials=materials._replace(relief=jnp.zeros(MAX_PARTS)),
    )
