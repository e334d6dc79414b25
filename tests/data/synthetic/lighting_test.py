"""Shading in strips has no seams, and shading follows the scene's light."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic import SceneConfig, lighting
from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.lighting import sample_light, shade
from samjax.data.synthetic.materials import sample_palette
from samjax.data.synthetic.noise import noise_planes
from samjax.data.synthetic.objects import sample_ground, sample_objects
from samjax.data.synthetic.raster import paint
from samjax.data.synthetic.surfaces import surface_table

SIZE, THINGS = 32, 4


@pytest.fixture(scope="module")
def painted():
    config = SceneConfig(size=SIZE, min_objects=THINGS, num_objects=THINGS)

    @jax.jit
    def sample(key):
        draws = Draws(jax.random.uniform(key, (600,)))
        palette = sample_palette(draws)
        ground, light = sample_ground(draws, palette), sample_light(draws)
        objects = sample_objects(key, palette, config)
        planes = noise_planes(key, SIZE)
        canvas = paint(objects, ground, planes, -light.direction[:2])
        return canvas, surface_table(objects, ground), planes, light

    return sample(jax.random.key(5))


def shaded(painted, **light_changes) -> np.ndarray:
    canvas, surfaces, planes, light = painted
    light = light._replace(**light_changes)
    row = jax.random.uniform(jax.random.key(0), (400,))
    shade_it = jax.jit(lambda *args: shade(*args[:4], THINGS, Draws(args[4])))
    return np.asarray(shade_it(canvas, surfaces, planes, light, row)[0])


def test_strips_leave_no_seams(painted, monkeypatch):
    whole = shaded(painted)
    monkeypatch.setattr(lighting, "_STRIP_PIXELS", 1)
    assert lighting._strip_rows(SIZE) == 8
    np.testing.assert_allclose(shaded(painted), whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [16, 24, 64, 120, 128, 256, 512, 1000, 1024])
def test_strips_fill_the_image_exactly(size):
    rows = lighting._strip_rows(size)
    assert size % rows == 0 and rows % 8 == 0
    assert rows == 8 or rows * size <= lighting._STRIP_PIXELS


def test_light_is_finite_and_not_negative(painted):
    light = shaded(painted)
    assert np.isfinite(light).all() and light.min() >= 0


def test_shadows_and_relief_vanish_in_ambient_light(painted):
    canvas, surfaces, planes, light = painted
    flat = surfaces._replace(
        material=surfaces.material._replace(gloss=0 * surfaces.material.gloss)
    )
    ambient = jnp.array(1.0)
    sunny = shaded((canvas, flat, planes, light), ambient=ambient)
    turned = jnp.array([0.6, 0.0, 0.8])
    moved = shaded((canvas, flat, planes, light), ambient=ambient, direction=turned)
    np.testing.assert_allclose(sunny, moved, rtol=1e-5)
