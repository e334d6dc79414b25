"""Outlines: negative inside, approximate distances, and folding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.shapes import (
    MAX_CELLS,
    Box,
    Outline,
    box_distance,
    fold,
    outline_distance,
    sample_outline,
)

SIDE = 64
AT = (np.arange(SIDE) + 0.5) / SIDE * 4 - 2
U, V = (jnp.asarray(x, jnp.float32) for x in np.meshgrid(AT, AT))


def a_box(**changes) -> Box:
    box = Box(
        center=jnp.zeros(2),
        turn=jnp.array([1.0, 0.0]),
        half=jnp.array([0.8, 0.5]),
        corner=jnp.array(0.0),
        taper=jnp.array(0.0),
        bend=jnp.array(0.0),
    )
    return box._replace(**changes)


@pytest.fixture(scope="module")
def outlines() -> Outline:
    """Many outlines, stacked; odd ones come as grids."""
    rows = jax.random.uniform(jax.random.key(0), (200, 400))
    repeats = jnp.arange(200) % 2 == 1
    sample = jax.vmap(lambda row, r: sample_outline(Draws(row), row[0] * 0 + 0.2, r))
    return jax.jit(sample)(rows, repeats)


def plain(outlines: Outline, index: int, **changes) -> Outline:
    outline = jax.tree.map(lambda x: x[index], outlines)
    return outline._replace(
        operation=jnp.array(0),
        hollow=jnp.array(0.0),
        wobble=jnp.array(0.0),
        mirror=jnp.array(False),
        **changes,
    )


def test_a_box_is_the_set_of_points_within_its_halves():
    inside = np.asarray(box_distance(a_box(), U, V)) < 0
    wanted = (np.abs(U) < 0.8) & (np.abs(V) < 0.5)
    np.testing.assert_array_equal(inside, wanted)


def test_a_fully_rounded_square_is_a_disc_and_gives_distances():
    disc = a_box(half=jnp.array([0.7, 0.7]), corner=jnp.array(0.7))
    wanted = np.hypot(U, V) - 0.7
    np.testing.assert_allclose(box_distance(disc, U, V), wanted, atol=1e-5)


def test_a_turned_box_is_the_box_of_turned_points():
    turn = jnp.array([np.cos(0.5), np.sin(0.5)], jnp.float32)
    turned = box_distance(a_box(turn=turn), U, V)
    x, y = turn[0] * U + turn[1] * V, turn[0] * V - turn[1] * U
    np.testing.assert_allclose(turned, box_distance(a_box(), x, y), atol=1e-5)


def test_a_polygon_with_unused_sides_is_regular(outlines):
    side = np.arange(7) % 4
    planes = jnp.asarray(
        np.stack([np.cos(side * np.pi / 2), np.sin(side * np.pi / 2), 0 * side + 0.8])
    ).T
    square = plain(outlines, 0, family=jnp.array(1), planes=planes)
    inside = np.asarray(outline_distance(square, U, V, 0 * U)) < 0
    np.testing.assert_array_equal(inside, (np.abs(U) < 0.8) & (np.abs(V) < 0.8))


def test_strokes_are_as_wide_as_their_radii(outlines):
    strokes = jnp.tile(jnp.array([[-1.0, 0.0, 1.0, 0.0]]), (7, 1))
    bar = plain(
        outlines, 0, family=jnp.array(2), strokes=strokes, radii=jnp.full(7, 0.25)
    )
    inside = np.asarray(outline_distance(bar, U, V, 0 * U)) < 0
    beyond = np.maximum(np.abs(U) - 1, 0)
    np.testing.assert_array_equal(inside, np.hypot(beyond, V) < 0.25)


def test_a_hollow_outline_has_a_hole(outlines):
    disc = plain(outlines, 0, family=jnp.array(3))
    body = a_box(half=jnp.array([1.0, 1.0]), corner=jnp.array(1.0))
    ring = disc._replace(body=body, hollow=jnp.array(0.1))
    inside = np.asarray(outline_distance(ring, U, V, 0 * U)) < 0
    radius = np.hypot(U, V)
    np.testing.assert_array_equal(inside, (radius > 0.8) & (radius < 1.0))


def test_a_mirrored_outline_is_symmetric(outlines):
    outline = plain(outlines, 0)._replace(mirror=jnp.array(True))
    u, v, _ = fold(outline, U, V)
    distance = np.asarray(outline_distance(outline, u, v, 0 * U))
    np.testing.assert_allclose(distance, distance[:, ::-1], atol=1e-5)


def test_a_grid_repeats_its_outline(outlines):
    outline = plain(
        outlines,
        1,
        grid=jnp.array([2.0, 1.0]),
        spacing=jnp.array([2.0, 2.0]),
        jitter=jnp.array(0.0),
    )
    u, v, cell = fold(outline, U, V)
    half = SIDE // 2
    np.testing.assert_array_equal(cell[:, :half], 0)
    np.testing.assert_array_equal(cell[:, half:], 1)
    np.testing.assert_allclose(u[:, :half], u[:, half:], atol=1e-6)
    np.testing.assert_allclose(v, V, atol=1e-6)


def test_only_repeated_objects_have_several_instances(outlines):
    instances = np.asarray(outlines.grid).prod(1)
    np.testing.assert_array_equal(instances[0::2], 1)
    assert instances[1::2].min() >= 2 and instances.max() <= MAX_CELLS


def test_every_outline_has_an_inside_of_sane_size(outlines):
    distance = jax.jit(jax.vmap(lambda one: outline_distance(one, U, V, 0 * U)))
    inside = np.asarray(distance(outlines)) < 0
    area = inside.mean((1, 2)) * 16
    assert np.isfinite(area).all()
    # Cut or intersected away to nothing: allowed, as such a mask is invalid, but rare.
    assert (area == 0).mean() < 0.06
    assert 0.5 < np.median(area) < 4
    assert set(np.asarray(outlines.family)) == {0, 1, 2, 3}
