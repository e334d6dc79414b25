"""Outlines of objects as implicit functions: approximate signed distances, negative inside.

Every outline is defined in its own frame, where it is about two units wide, x to the
right and y down. A generic outline is one of four families (star-shaped curve, convex
polygon, strokes, rounded box), combined with a second rounded box by union, difference
or intersection, optionally mirrored, hollowed, roughened by noise and repeated in a
grid of instances.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.glyphs import MAX_STROKES, glyph_table
from samjax.data.synthetic.noise import NUM_PLANES, OCTAVES

MAX_CELLS = 12  # instances of a grid
_HARMONICS = 7
_SIDES = 7
_RADIAL, _POLYGON, _STROKES, _BOX = range(4)
_FAMILY_WEIGHTS = (0.34, 0.2, 0.22, 0.24)
_KEEP, _UNITE, _SUBTRACT, _INTERSECT = range(4)


class Box(NamedTuple):
    """A rounded box: translated, rotated, tapered and bent.

    Attributes:
        center: x, y in the frame of the object.
        turn: Cosine and sine of its angle.
        half: Half width and half height.
        corner: Corner radius, at most the smaller half.
        taper: Decrease of the width per unit of y.
        bend: Displacement of y per unit of x squared.
    """

    center: Float[Array, " 2"]
    turn: Float[Array, " 2"]
    half: Float[Array, " 2"]
    corner: Float[Array, ""]
    taper: Float[Array, ""]
    bend: Float[Array, ""]


class Outline(NamedTuple):
    """All parameters of an object's outline. Unused ones are drawn and ignored.

    Attributes:
        family: Star-shaped curve, convex polygon, strokes or rounded box.
        harmonics: Cosine and sine weights of the radius.
        cusp: Cosine and sine weights of the harmonic of the star's points.
        cusp_depth: Depth of the star's valleys, 0 for none.
        planes: Normal x, y and offset of each side of the polygon.
        strokes: x0, y0, x1, y1 of each stroke.
        radii: Half width of each stroke.
        body: The box of the box family.
        second: The box that is combined with the first outline.
        operation: None, union, difference or intersection.
        hollow: Half thickness of the wall, 0 for a solid.
        mirror: Whether the left half mirrors the right.
        shift: Distance of the mirrored half's centre from the axis.
        grid: Columns and rows of instances.
        spacing: Distance of neighbouring instances.
        jitter: Variation of the instances' positions, angles and sizes.
        phase: Seed of that variation.
        wobble: Amplitude of the noise on the outline.
        wobble_weights: Weights of the noise planes.
    """

    family: Int[Array, ""]
    harmonics: Float[Array, "n 2"]
    cusp: Float[Array, "n 2"]
    cusp_depth: Float[Array, ""]
    planes: Float[Array, "sides 3"]
    strokes: Float[Array, "strokes 4"]
    radii: Float[Array, " strokes"]
    body: Box
    second: Box
    operation: Int[Array, ""]
    hollow: Float[Array, ""]
    mirror: Bool[Array, ""]
    shift: Float[Array, ""]
    grid: Float[Array, " 2"]
    spacing: Float[Array, " 2"]
    jitter: Float[Array, ""]
    phase: Float[Array, ""]
    wobble: Float[Array, ""]
    wobble_weights: Float[Array, " planes"]


def outline_distance(
    outline: Outline,
    u: Float[Array, "h w"],
    v: Float[Array, "h w"],
    noise: Float[Array, "h w"],
) -> Float[Array, "h w"]:
    """Evaluates the implicit function of an instance in its own (folded) frame."""
    distance = jax.lax.switch(
        outline.family,
        (_radial_distance, _polygon_distance, _stroke_distance, _body_distance),
        outline,
        u,
        v,
    )
    second = box_distance(outline.second, u, v)
    distance = jax.lax.select_n(
        jnp.broadcast_to(outline.operation, distance.shape),
        distance,
        jnp.minimum(distance, second),
        jnp.maximum(distance, -second),
        jnp.maximum(distance, second),
    )
    distance = distance + outline.wobble * noise
    wall = jnp.abs(distance + outline.hollow) - outline.hollow
    return jnp.where(outline.hollow > 0, wall, distance)


def fold(
    outline: Outline, u: Float[Array, "h w"], v: Float[Array, "h w"]
) -> tuple[Float[Array, "h w"], Float[Array, "h w"], Int[Array, "h w"]]:
    """Maps the object's frame to the frame of the nearest instance.

    Returns:
        u, v in the instance's frame, and the index of the instance, row by row.
    """
    u, v, cell = jax.lax.cond(
        outline.grid.max() > 1,
        _fold_grid,
        lambda _, u, v: (u, v, jnp.zeros(u.shape, jnp.int32)),
        outline,
        u,
        v,
    )
    u = jnp.where(outline.mirror, jnp.abs(u) - outline.shift, u)
    return u, v, cell


def box_distance(
    box: Box, u: Float[Array, "h w"], v: Float[Array, "h w"]
) -> Float[Array, "h w"]:
    """Returns the approximate signed distance to a rounded box, in the frame of (u, v)."""
    x, y = box_frame(box, u, v)
    y = y + box.bend * (x * x - 0.4)
    x = x * (1 + box.taper * y)
    x = jnp.abs(x) - box.half[0] + box.corner
    y = jnp.abs(y) - box.half[1] + box.corner
    outside = jnp.sqrt(jnp.maximum(x, 0) ** 2 + jnp.maximum(y, 0) ** 2)
    return outside + jnp.minimum(jnp.maximum(x, y), 0) - box.corner


def box_frame(
    box: Box, u: Float[Array, "h w"], v: Float[Array, "h w"]
) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Maps the object's frame to that of a box."""
    x, y = u - box.center[0], v - box.center[1]
    cosine, sine = box.turn
    return cosine * x + sine * y, cosine * y - sine * x


def _fold_grid(outline, u, v):
    columns, rows = outline.grid
    row = jnp.clip(jnp.floor(v / outline.spacing[1] + rows / 2), 0, rows - 1)
    column = jnp.clip(jnp.floor(u / outline.spacing[0] + columns / 2), 0, columns - 1)
    u = u - (column - (columns - 1) / 2) * outline.spacing[0]
    v = v - (row - (rows - 1) / 2) * outline.spacing[1]
    # Sines of mixed indices replace random numbers per instance: a table would cost a
    # gather per pixel.
    wave = 2.4 * column + 3.7 * row + outline.phase
    u = u + 0.4 * outline.jitter * jnp.sin(wave)
    v = v + 0.4 * outline.jitter * jnp.sin(1.7 * wave + 1)
    angle = 1.5 * outline.jitter * jnp.sin(2.3 * wave + 2)
    stretch = 1 + 0.5 * outline.jitter * (1 + jnp.sin(3.1 * wave + 3))
    u, v = (u - angle * v) * stretch, (v + angle * u) * stretch
    return u, v, (row * columns + column).astype(jnp.int32)


def _radial_distance(outline, u, v):
    radius = jnp.sqrt(u * u + v * v) + 1e-6
    cosine, sine = u / radius, v / radius
    target, wave = 1.0, 0.0
    # Powers of exp(i angle) by multiplication, without trigonometry per harmonic.
    real, imaginary = cosine, sine
    for n in range(_HARMONICS):
        if n:
            real, imaginary = (
                real * cosine - imaginary * sine,
                real * sine + imaginary * cosine,
            )
        a, b = outline.harmonics[n]
        target = target + a * real + b * imaginary
        a, b = outline.cusp[n]
        wave = wave + a * real + b * imaginary
    point = jnp.sqrt(jnp.maximum((1 + wave) / 2, 0))
    target = target * (1 - outline.cusp_depth * point)
    # The difference of radii overestimates the distance where the curve is steep.
    return 0.8 * (radius - jnp.maximum(target, 0.1))


def _polygon_distance(outline, u, v):
    distance = jnp.full_like(u, -jnp.inf)
    for x, y, offset in outline.planes:
        distance = jnp.maximum(distance, x * u + y * v - offset)
    return distance


def _stroke_distance(outline, u, v):
    distance = jnp.full_like(u, jnp.inf)
    for stroke, radius in zip(outline.strokes, outline.radii, strict=True):
        x, y = u - stroke[0], v - stroke[1]
        along_x, along_y = stroke[2] - stroke[0], stroke[3] - stroke[1]
        length = along_x**2 + along_y**2 + 1e-6
        at = jnp.clip(x * (along_x / length) + y * (along_y / length), 0, 1)
        x, y = x - at * along_x, y - at * along_y
        distance = jnp.minimum(distance, jnp.sqrt(x * x + y * y) - radius)
    return distance


def _body_distance(outline, u, v):
    return box_distance(outline.body, u, v)


def sample_outline(draws: Draws, scale: Float[Array, ""], repeats) -> Outline:
    """Draws an outline.

    Args:
        draws: Source of the choices.
        scale: Half extent of the object in image sides, which sets the scale of noise.
        repeats: Whether the object is repeated in a grid.
    """
    family = draws.pick(_FAMILY_WEIGHTS)
    strokes, radii, is_glyph = _sample_strokes(draws)
    solid = family != _STROKES
    grid = jnp.stack([draws.between(1.0, 4.999), draws.between(1.0, 3.999)])
    grid = jnp.where(repeats, jnp.floor(grid), 1.0)
    # A grid has at least two instances.
    grid = grid.at[0].add(jnp.where(repeats & (grid[0] * grid[1] < 2), 1.0, 0.0))
    jitter = draws.uniform() * jnp.where(draws.chance(0.5), 0.28, 0.03)
    octave = jnp.log2(1 / scale) - 0.5 + draws.between(0.0, 3.5)
    near = jnp.exp(-((jnp.arange(len(OCTAVES)) + 1.0 - octave) ** 2))
    wobble_angle = draws.angle(len(OCTAVES))
    weights = (
        jnp.stack([jnp.cos(wobble_angle), jnp.sin(wobble_angle)], 1) * near[:, None]
    )
    weights = weights / (jnp.linalg.norm(weights) + 1e-6)
    mirror = draws.chance(0.3) & ~((family == _STROKES) & is_glyph)
    operation = draws.pick((0.55, 0.2, 0.17, 0.08))
    hollow = jnp.where(draws.chance(0.1) & solid, draws.log_between(0.05, 0.2), 0.0)
    return Outline(
        family=family,
        planes=_sample_polygon(draws),
        strokes=strokes,
        radii=radii,
        body=sample_box(draws, center=0.0, low=0.6, high=1.0),
        second=sample_box(draws, center=0.9, low=0.2, high=0.9),
        operation=jnp.where(solid, operation, _KEEP),
        hollow=hollow,
        mirror=mirror,
        shift=jnp.where(draws.chance(0.5), draws.between(0.0, 0.5), 0.0),
        grid=grid,
        spacing=draws.between(1.9, 3.2, 2),
        jitter=jnp.where(repeats, jitter, 0.0),
        phase=draws.angle(),
        wobble=jnp.where(draws.chance(0.4), draws.log_between(0.02, 0.25), 0.0)
        * jnp.where(solid, 1.0, 0.3),
        wobble_weights=weights.reshape(NUM_PLANES),
        **_sample_radial(draws),
    )


def sample_box(draws: Draws, *, center: float, low: float, high: float) -> Box:
    """Draws a box with centre coordinates up to `center` and half sides in [low, high]."""
    angle = draws.angle()
    upright = draws.chance(0.5)
    angle = jnp.where(upright, jnp.round(angle / (jnp.pi / 2)) * (jnp.pi / 2), angle)
    half = draws.log_between(low, high, 2)
    corner = jnp.array([0.0, 0.25, 0.6, 1.0])[draws.pick((0.3, 0.25, 0.15, 0.3))]
    bent = draws.chance(0.3)
    return Box(
        center=draws.between(-center, center, 2),
        turn=jnp.stack([jnp.cos(angle), jnp.sin(angle)]),
        half=half,
        corner=corner * half.min(),
        taper=jnp.where(draws.chance(0.3), draws.between(-0.6, 0.6), 0.0),
        bend=jnp.where(bent, draws.between(-0.5, 0.5), 0.0),
    )


def _sample_radial(draws: Draws) -> dict[str, Array]:
    order = jnp.arange(1, _HARMONICS + 1, dtype=jnp.float32)
    decay = order ** -draws.between(0.6, 2.0)
    amplitude = jnp.where(draws.chance(0.7), draws.log_between(0.06, 0.6), 0.0)
    harmonics = draws.between(-1.0, 1.0, _HARMONICS, 2) * (amplitude * decay)[:, None]
    # The first harmonic only translates the shape.
    harmonics = harmonics.at[0].multiply(0.3)
    points = 2 + draws.pick((1.0, 2.0, 3.0, 2.0, 1.0, 1.0))
    chosen = (jnp.arange(_HARMONICS) == points).astype(jnp.float32)
    phase = draws.angle()
    cusp = chosen[:, None] * jnp.stack([jnp.cos(phase), jnp.sin(phase)])[None]
    depth = jnp.where(draws.chance(0.22), draws.between(0.25, 0.65), 0.0)
    return {"harmonics": harmonics, "cusp": cusp, "cusp_depth": depth}


def _sample_polygon(draws: Draws) -> Float[Array, "sides 3"]:
    count = 3 + draws.pick((3.0, 4.0, 2.0, 2.0, 1.0))
    side = jnp.arange(_SIDES) % count
    jitter = jnp.where(draws.chance(0.4), draws.between(0.0, 1.0), 0.0)
    angle = (
        2 * jnp.pi / count * (side + 0.35 * jitter * draws.between(-1.0, 1.0, _SIDES))
    )
    offset = 0.8 * (1 + 0.5 * jitter * draws.between(-1.0, 1.0, _SIDES))
    # Unused sides repeat a used one, including its jitter.
    return jnp.stack([jnp.cos(angle), jnp.sin(angle), offset], 1)[side]


def _sample_strokes(draws: Draws):
    kind = draws.pick((0.38, 0.2, 0.27, 0.15))
    count = MAX_STROKES
    glyphs = jnp.asarray(glyph_table())
    glyph = glyphs[jnp.floor(draws.uniform() * len(glyphs)).astype(jnp.int32)]
    corners = draws.between(-1.0, 1.0, 4, 2)
    t = jnp.linspace(0, 1, count + 1)[:, None]
    curve = (
        (1 - t) ** 3 * corners[:1]
        + 4 * t * (1 - t) ** 2 * corners[1:2]
        + 4 * t**2 * (1 - t) * corners[2:3]
        + t**3 * corners[3:]
    )
    walk = jnp.minimum(jnp.arange(count + 1), 2 + draws.pick((1.0, 1.0, 1.0, 1.0)))
    zigzag = draws.between(-1.0, 1.0, count + 1, 2)[walk]
    start, sweep = draws.angle(), draws.between(2.0, 6.3)
    turn = start + sweep * t[:, 0]
    grow = 1 + draws.between(-0.6, 0.0) * t[:, 0]
    arc = jnp.stack([jnp.cos(turn) * grow, jnp.sin(turn) * grow], 1)
    # A tree: a vertical trunk, and branches that start on it.
    foot = draws.between(-0.9, 0.8, count)
    tips = jnp.stack([draws.between(-1.0, 1.0, count), foot - draws.uniform(count)], 1)
    branches = jnp.concatenate([jnp.stack([0 * foot, foot], 1), tips], 1)
    branches = branches.at[0].set(jnp.array([0.0, 1.0, 0.0, -0.7]))
    line = jnp.where(draws.chance(0.6), curve, zigzag)
    chains = [jnp.concatenate([x[:-1], x[1:]], 1) for x in (line, arc)]
    strokes = jnp.stack([glyph, *chains, branches])[kind]
    width = draws.log_between(0.04, 0.22)
    narrowing = jnp.where(
        draws.chance(0.35) & (kind > 0), draws.between(0.0, 0.12), 0.0
    )
    radii = width / (1 + 10 * narrowing * jnp.arange(count) / count)
    return strokes, radii, kind == 0
