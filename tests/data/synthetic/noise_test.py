"""Noise has unit scale, independent octaves, and is the same at every size."""

import jax
import numpy as np
import pytest

from samjax.data.synthetic.noise import NUM_PLANES, OCTAVES, noise_planes


@pytest.fixture(scope="module")
def planes():
    return np.asarray(noise_planes(jax.random.key(0), 256))


def test_planes_have_mean_zero_and_deviation_one(planes):
    assert planes.shape == (NUM_PLANES, 256, 256)
    # Octaves of many cells, so that chance evens out, but wider than a pixel.
    fine = planes[2 * OCTAVES.index(32) : 2 * OCTAVES.index(64) + 2]
    np.testing.assert_allclose(fine.mean((1, 2)), 0, atol=0.2)
    np.testing.assert_allclose(fine.std((1, 2)), 1, atol=0.1)


def test_planes_do_not_depend_on_each_other(planes):
    fine = planes[2 * OCTAVES.index(32) :].reshape(-1, 256 * 256)
    correlation = np.corrcoef(fine) - np.eye(len(fine))
    assert np.abs(correlation).max() < 0.1


def test_a_key_gives_the_same_planes_at_every_size(planes):
    small = np.asarray(noise_planes(jax.random.key(0), 64))
    averaged = planes.reshape(NUM_PLANES, 64, 4, 64, 4).mean((2, 4))
    for wanted, got in zip(averaged, small, strict=True):
        assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.99


def test_finer_octaves_vary_faster(planes):
    roughness = np.abs(np.diff(planes, axis=2)).mean((1, 2))[::2]
    assert (np.diff(roughness) > 0).all()
