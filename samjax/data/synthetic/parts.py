"""Parts and subparts of an object, in the frame of the object.

A part is a box (an inset, a limb, or, if it is far and huge, a half plane), a rim along
the outline, or a grid of small boxes such as the windows of a house. A part has at most
one subpart, or the boxes of its grid are its subparts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.shapes import Box, box_distance, box_frame, sample_box

MAX_PARTS = 4  # the body and three others
MAX_SUBPARTS = 8
_INSET, _LIMB, _CUT, _RIM, _GRID = range(5)
_PART_DRAWS = 90  # upper bound of the uniforms that a part reads
_KIND_WEIGHTS = (0.28, 0.26, 0.22, 0.08, 0.16)


class Parts(NamedTuple):
    """The parts of one object beside its body, along the first axis.

    Attributes:
        present: Whether the part exists.
        box: The part's box.
        limb: Whether it extends beyond the outline.
        behind: Whether a limb is behind the body.
        rim: Width of the rim, 0 if the part is a box.
        grid: Columns and rows of its grid.
        spacing: Distance of neighbours in the grid.
        has_sub: Whether the part has a subpart.
        sub: The subpart's box, in the frame of the part's box.
    """

    present: Bool[Array, " parts"]
    box: Box
    limb: Bool[Array, " parts"]
    behind: Bool[Array, " parts"]
    rim: Float[Array, " parts"]
    grid: Float[Array, "parts 2"]
    spacing: Float[Array, "parts 2"]
    has_sub: Bool[Array, " parts"]
    sub: Box


def divide(
    parts: Parts,
    distance: Float[Array, "h w"],
    u: Float[Array, "h w"],
    v: Float[Array, "h w"],
) -> tuple[
    Float[Array, "h w"], Int[Array, "h w"], Float[Array, "h w"], Float[Array, "h w"]
]:
    """Divides an object into its parts.

    Args:
        parts: The parts.
        distance: The implicit function of the body.
        u: Coordinate in the folded frame of the object.
        v: The other coordinate.

    Returns:
        The implicit function of the object with its limbs; the leaf at each pixel
        (`part * MAX_SUBPARTS + subpart`, part 0 the body); the depth below the nearest
        edge of body or limb, for relief; the distance to the nearest inner boundary.
    """
    body = distance
    start = (
        distance,
        jnp.zeros(distance.shape, jnp.int32),
        -distance,
        jnp.full_like(distance, 9.0),
    )

    def step(state, indexed):
        index, part = indexed
        divided = jax.lax.cond(
            part.present,
            lambda: _add_part(part, index, body, u, v, *state),
            lambda: state,
        )
        return divided, None

    # Part 0 is the body.
    indices = jnp.arange(1, parts.present.shape[0] + 1)
    return jax.lax.scan(step, start, (indices, parts))[0]


def _add_part(part, index, body, u, v, distance, leaf, depth, crease):
    part_distance, subpart, sub_crease = jax.lax.cond(
        part.has_sub, _part_and_sub, _part, part, body, u, v
    )
    inside = (part_distance < 0) & ((body < 0) | part.limb)
    inside &= ~(part.behind & (body < 0))
    distance = jnp.where(part.limb, jnp.minimum(distance, part_distance), distance)
    leaf = jnp.where(inside, index * MAX_SUBPARTS + subpart, leaf)
    depth = jnp.where(inside & part.limb, -part_distance, depth)
    crease = jnp.minimum(crease, jnp.where(inside, sub_crease, 9.0))
    # A limb behind the body ends at the body's outline.
    edge = jnp.where(part.behind, jnp.abs(body), jnp.abs(part_distance))
    crease = jnp.where(part.behind & ~inside, crease, jnp.minimum(crease, edge))
    return distance, leaf, depth, crease


def _part_and_sub(part, body, u, v):
    """Returns a part's distance, subpart index and the distance to its subpart's edge."""
    distance, _, _ = _part(part, body, u, v)
    x, y = box_frame(part.box, u, v)
    sub_distance = box_distance(part.sub, x, y)
    return distance, (sub_distance < 0).astype(jnp.int32), jnp.abs(sub_distance)


def _part(part, body, u, v):
    """Same as `_part_and_sub`, for a part without a subpart or with those of a grid."""
    x, y = box_frame(part.box, u, v)
    columns, rows = part.grid
    column = jnp.clip(jnp.floor(x / part.spacing[0] + columns / 2), 0, columns - 1)
    row = jnp.clip(jnp.floor(y / part.spacing[1] + rows / 2), 0, rows - 1)
    x = x - (column - (columns - 1) / 2) * part.spacing[0]
    y = y - (row - (rows - 1) / 2) * part.spacing[1]
    # x, y are already in the box's frame, so the box is moved to the origin, unturned.
    at_origin = part.box._replace(center=jnp.zeros(2), turn=jnp.array([1.0, 0.0]))
    distance = jnp.where(part.rim > 0, -body - part.rim, box_distance(at_origin, x, y))
    cell = (row * columns + column).astype(jnp.int32)
    return distance, cell, jnp.full_like(distance, 9.0)


def sample_parts(draws: Draws, count: int) -> Parts:
    """Draws up to `count` parts of an object."""
    num_present = draws.pick((0.28, *([0.72 / max(count, 1)] * count)))
    parts = draws.each(count, _PART_DRAWS, _sample_part)
    return parts._replace(present=num_present > jnp.arange(count))


def _sample_part(draws: Draws) -> Parts:
    kind = draws.pick(_KIND_WEIGHTS)
    inset = sample_box(draws, center=0.55, low=0.12, high=0.6)
    limb = _sample_limb(draws)
    cut = _sample_cut(draws)
    pane = sample_box(draws, center=0.2, low=0.07, high=0.2)
    box = jax.tree.map(
        lambda *leaves: jnp.stack(leaves)[kind], inset, limb, cut, inset, pane
    )
    columns = 1.0 + draws.pick((1.0, 2.0, 2.0, 2.0))
    rows = jnp.where(
        columns > 2, 1.0 + draws.pick((1.0, 1.0)), 2.0 + draws.pick((1.0, 1.0))
    )
    grid = jnp.where(kind == _GRID, jnp.stack([columns, rows]), 1.0)
    spacing = 2 * pane.half * draws.between(1.15, 1.7, 2)
    sub = sample_box(draws, center=0.5, low=0.25, high=0.7)
    halved = _sample_cut(draws)
    small = draws.chance(0.6)
    sub = jax.tree.map(lambda a, b: jnp.where(small, a, b), sub, halved)
    # A subpart is drawn for a part of unit size and scaled with it.
    size = jnp.where(kind == _CUT, 0.6, box.half.min())
    sub = sub._replace(
        center=sub.center * size, half=sub.half * size, corner=sub.corner * size
    )
    return Parts(
        present=jnp.asarray(True),
        box=box,
        limb=kind == _LIMB,
        behind=(kind == _LIMB) & draws.chance(0.4),
        rim=jnp.where(kind == _RIM, draws.between(0.06, 0.25), 0.0),
        grid=grid,
        spacing=spacing,
        has_sub=draws.chance(0.6) & (kind != _GRID) & (kind != _RIM),
        sub=sub,
    )


def _sample_limb(draws: Draws) -> Box:
    """Draws an elongated box that starts inside the outline and points outwards."""
    box = sample_box(draws, center=0.0, low=0.12, high=0.35)
    angle = draws.angle()
    length = draws.log_between(0.2, 0.9)
    reach = draws.between(0.6, 0.8) + 0.8 * length
    turn = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    half = jnp.stack([length, jnp.minimum(box.half[1], length)])
    return box._replace(
        center=reach * turn,
        turn=turn,
        half=half,
        corner=jnp.minimum(box.corner, half.min()),
    )


def _sample_cut(draws: Draws) -> Box:
    """Draws a box or disc so large that it covers one side of a line or a curve."""
    angle = draws.angle()
    turn = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    straight = draws.chance(0.55)
    radius = jnp.where(straight, 6.0, draws.log_between(0.9, 5.0))
    return Box(
        center=(radius + draws.between(-0.5, 0.6)) * turn,
        turn=turn,
        half=jnp.stack([radius, radius]),
        corner=jnp.where(straight, 0.0, radius),
        taper=jnp.zeros(()),
        bend=jnp.zeros(()),
    )
