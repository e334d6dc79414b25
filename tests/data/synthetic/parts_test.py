"""Parts divide an object; limbs extend it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.parts import (
    MAX_PARTS,
    MAX_SUBPARTS,
    Parts,
    divide,
    sample_parts,
)

SIDE = 64
AT = (np.arange(SIDE) + 0.5) / SIDE * 4 - 2
U, V = (jnp.asarray(x, jnp.float32) for x in np.meshgrid(AT, AT))
BODY = jnp.sqrt(U * U + V * V) - 1


@pytest.fixture(scope="module")
def many() -> Parts:
    rows = jax.random.uniform(jax.random.key(0), (150, 400))
    return jax.jit(jax.vmap(lambda row: sample_parts(Draws(row), 3)))(rows)


@pytest.fixture(scope="module")
def divided(many):
    divided = jax.jit(jax.vmap(lambda one: divide(one, BODY, U, V)))(many)
    return [np.asarray(x) for x in divided]


def test_leaves_stay_in_their_range(divided):
    _, leaf, _, _ = divided
    assert leaf.min() == 0 and leaf.max() < MAX_PARTS * MAX_SUBPARTS


def test_an_object_reaches_beyond_its_body_only_by_limbs(many, divided):
    distance, leaf, _, _ = divided
    outside = (distance < 0) & (np.asarray(BODY) >= 0)[None]
    has_limb = np.asarray(many.present & many.limb).any(1)
    assert outside[has_limb].any((1, 2)).mean() > 0.9
    assert not outside[~has_limb].any()
    # What is beyond the body belongs to a part.
    assert (leaf[outside] >= MAX_SUBPARTS).all()


def test_the_body_is_part_of_the_object(divided):
    distance, *_ = divided
    assert (distance <= np.asarray(BODY)[None]).all()


def test_absent_parts_leave_the_object_alone(many):
    none = many._replace(present=jnp.zeros_like(many.present))
    one = jax.tree.map(lambda x: x[0], none)
    distance, leaf, depth, _ = divide(one, BODY, U, V)
    np.testing.assert_array_equal(distance, BODY)
    np.testing.assert_array_equal(depth, -BODY)
    assert not leaf.any()


def test_every_level_occurs(divided):
    distance, leaf, _, _ = divided
    inside = distance < 0
    parts = [set((x[i] // MAX_SUBPARTS).tolist()) for x, i in zip(leaf, inside)]
    subs = [set((x[i] % MAX_SUBPARTS).tolist()) for x, i in zip(leaf, inside)]
    assert 0.4 < np.mean([len(x) > 1 for x in parts]) < 0.95
    assert 0.15 < np.mean([len(x) > 1 for x in subs]) < 0.8
