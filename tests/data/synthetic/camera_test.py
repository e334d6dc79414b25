"""The camera keeps images in range, and compression loses little at fine steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic import camera
from samjax.data.synthetic.draws import Draws

SIZE = 32


@pytest.fixture(scope="module")
def light():
    return jax.random.uniform(jax.random.key(0), (3, SIZE, SIZE)) ** 3


@pytest.mark.parametrize("brightness", [0.0, 1e-3, 1.0, 1e3])
def test_pictures_are_whole_numbers_up_to_255(light, brightness):
    photograph = jax.jit(
        lambda light, row, key: camera.photograph(
            light, row[:1, None] * jnp.ones((SIZE, SIZE)), Draws(row), key
        )
    )
    for seed in range(5):
        row = jax.random.uniform(jax.random.key(seed), (60,))
        image = np.asarray(photograph(light * brightness, row, jax.random.key(seed)))
        assert image.shape == (SIZE, SIZE, 3)
        assert np.isfinite(image).all()
        assert image.min() >= 0 and image.max() <= 255
        np.testing.assert_array_equal(image, np.round(image))


def test_blur_keeps_constant_light_and_smooths_the_rest(light):
    even = jnp.full((1, SIZE, SIZE), 0.3)
    np.testing.assert_allclose(camera._gaussian(even, 0.05), even, rtol=1e-5)
    blurred = camera._gaussian(light, 0.05)
    assert blurred.std() < 0.3 * light.std()
    np.testing.assert_allclose(blurred.mean(), light.mean(), rtol=0.05)


def test_compression_loses_less_at_finer_steps():
    smooth = jnp.linspace(0.2, 0.8, SIZE)[None, None] * jnp.ones((3, SIZE, 1))
    losses = [
        float(jnp.abs(camera._compress(smooth, jnp.asarray(step)) - smooth).mean())
        for step in (1e-5, 0.02, 0.1)
    ]
    assert losses[0] < 1e-3 < losses[2]
    assert losses == sorted(losses)


def test_cosines_are_orthonormal():
    basis = camera._cosines()
    np.testing.assert_allclose(basis @ basis.T, np.eye(8), atol=1e-6)
