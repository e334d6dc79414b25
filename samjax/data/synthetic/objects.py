"""Sampling of a scene's objects (outlines, parts, poses, materials, depth) and ground."""

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
_DRAWS = 900  # upper bound of the uniforms of an object


class SceneObjects(NamedTuple):
    """The objects of a scene along the first axis.

    Attributes:
        nearness: Depth order: objects of larger values occlude those of smaller ones.
        present: Whether the object exists.
        outline: Its outline.
        parts: Its parts.
        center: x, y in image sides.
        scale: Half extent in image sides.
        inverse: Linear map from the image frame, relative to the centre, to the
            object's.
        turn: Cosine and sine of the angle of its materials.
        height: Length of its shadow, in image sides.
        softness: Width of the shadow's edge, in image sides.
        shadow: Darkness of the shadow.
        contact: Darkness of the contact shadow.
        blur: Defocus, 0 to 1.
        camouflaged: Whether it has the ground's material.
        materials: Materials (objects, parts, 2): of each part and of its subpart.
    """

    nearness: Float[Array, " objects"]
    present: Bool[Array, " objects"]
    outline: Outline
    parts: Parts
    center: Float[Array, "objects 2"]
    scale: Float[Array, " objects"]
    inverse: Float[Array, "objects 2 2"]
    turn: Float[Array, "objects 2"]
    height: Float[Array, " objects"]
    softness: Float[Array, " objects"]
    shadow: Float[Array, " objects"]
    contact: Float[Array, " objects"]
    blur: Float[Array, " objects"]
    camouflaged: Bool[Array, " objects"]
    materials: Material


class Ground(NamedTuple):
    """The background of the objects: up to four regions separated by wavy lines.

    Attributes:
        normal: Direction across the regions.
        thresholds: Positions of the lines along that direction.
        waviness: Amplitude of the noise on each line.
        weights: Weights of the noise planes for each line.
        turn: Cosine and sine of the angle of the materials.
        blur: Defocus, 0 to 1.
        tilt: Rate at which the ground recedes towards its far side, 0 for a wall.
        materials: Material of each region.
    """

    normal: Float[Array, " 2"]
    thresholds: Float[Array, " lines"]
    waviness: Float[Array, " lines"]
    weights: Float[Array, "lines planes"]
    turn: Float[Array, " 2"]
    blur: Float[Array, ""]
    tilt: Float[Array, ""]
    materials: Material


def sample_objects(
    key: PRNGKeyArray, palette: Palette, config: SceneConfig
) -> SceneObjects:
    """Draws all objects of a scene, large ones mostly behind."""
    count_key, rows_key = jax.random.split(key)
    rows = jax.random.uniform(rows_key, (config.num_objects, _DRAWS))
    objects = jax.vmap(lambda row: _sample_object(Draws(row), palette, config))(rows)
    count = jax.random.randint(
        count_key, (), config.min_objects, config.num_objects + 1
    )
    return objects._replace(present=jnp.arange(config.num_objects) < count)


def _sample_object(draws: Draws, palette: Palette, config: SceneConfig) -> SceneObjects:
    repeats = draws.chance(config.repetition)
    scale = draws.log_between(config.min_scale, config.max_scale)
    # The larger of two draws, for some: photos often have an object that fills the
    # frame.
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
    return SceneObjects(
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
    """Draws the material of each part and of its subpart."""
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
