"""Choices use each uniform once and follow their weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic.draws import Draws


def test_every_uniform_is_read_once_and_in_order():
    row = jnp.arange(10.0)
    draws = Draws(row)
    read = [draws.uniform(3), draws.uniform()[None], draws.uniform(2, 3).reshape(-1)]
    np.testing.assert_array_equal(np.concatenate(read), row)


def test_an_exhausted_row_raises():
    draws = Draws(jnp.zeros(4))
    draws.uniform(3)
    with pytest.raises(IndexError, match="5 draws wanted of a row of 4"):
        draws.uniform(2)


def test_picks_follow_their_weights():
    draws = Draws(jax.random.uniform(jax.random.key(0), (4000,)))
    share = np.bincount(draws.pick((1.0, 2.0, 5.0), 4000), minlength=3) / 4000
    np.testing.assert_allclose(share, [1 / 8, 2 / 8, 5 / 8], atol=0.03)


def test_ranges_are_kept_and_filled():
    draws = Draws(jax.random.uniform(jax.random.key(1), (2000,)))
    plain = np.asarray(draws.between(-2.0, 3.0, 1000))
    assert -2 <= plain.min() < -1.9 and 2.9 < plain.max() <= 3
    log = np.asarray(draws.log_between(0.01, 1.0, 1000))
    assert 0.0099 < log.min() and log.max() <= 1
    assert abs(np.median(np.log10(log)) + 1) < 0.15


def test_samples_of_each_are_those_of_its_rows():
    row = jax.random.uniform(jax.random.key(2), (12,))
    got = Draws(row).each(4, 3, lambda draws: draws.uniform(2).sum())
    np.testing.assert_allclose(got, row.reshape(4, 3)[:, :2].sum(1), rtol=1e-6)
