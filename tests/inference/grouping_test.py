"""Decoding in groups changes no result, whatever the sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.inference.grouping import map_groups


def scaled(rows):
    values, offset = rows
    return {"sum": values.sum(axis=1) + offset, "twice": 2 * values}


@pytest.mark.parametrize("count", [1, 5, 12, 13])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("num_parallel", [1, 4])
def test_groups_give_the_results_of_all_rows_at_once(count, size, num_parallel):
    rows = jnp.arange(4.0 * count).reshape(count, 4), jnp.arange(float(count))
    grouped = map_groups(
        scaled, rows, jnp.int32(count), size=size, num_parallel=num_parallel
    )
    for name, expected in scaled(rows).items():
        np.testing.assert_array_equal(grouped[name][:count], expected)


def test_iterations_of_padding_alone_are_skipped():
    rounds = []

    def counted(rows):
        jax.debug.callback(lambda: rounds.append(None))
        return rows

    rows = jnp.ones((12, 2))
    grouped = jax.jit(
        lambda valid: map_groups(counted, rows, valid, size=2, num_parallel=2)
    )(jnp.int32(3))
    jax.effects_barrier()
    assert len(rounds) == 2  # two groups of one iteration; the other two do not run
    np.testing.assert_array_equal(grouped[:3], rows[:3])
    assert not np.any(grouped[4:])
