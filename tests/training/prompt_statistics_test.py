"""Statistics of simulated prompts over many samples."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from training.discs import disc_batch

from samjax.models import ABSENT, MaskPrediction, Sam
from samjax.training.prompt_draws import keys_of_targets
from samjax.training.prompt_simulation import PromptSimulationConfig, simulate_prompts
from samjax.training.step import StepConfig, batch_loss, init_params
from samjax.training.targets import make_targets

SIZE, LOW, NUMBER = 16, 8, 500


def blind_rounds(mask: np.ndarray, config: PromptSimulationConfig):
    """The points and labels of every round for a decoder that never finds anything.

    Its error is the whole mask, in every round.
    """
    masks = jnp.broadcast_to(jnp.asarray(mask), (2, NUMBER, SIZE, SIZE))
    valid, sizes = jnp.ones((2, NUMBER), bool), jnp.full((2, 2), SIZE)
    targets = make_targets(masks, valid, sizes, "image", (LOW, LOW))
    asked = []

    def blind(prompts):
        jax.debug.callback(
            lambda *arrays: asked.append([np.asarray(each) for each in arrays]),
            prompts.points,
            prompts.labels,
            ordered=True,
        )
        nothing = jnp.full((2, NUMBER, 4, LOW, LOW), -1.0)
        return MaskPrediction(nothing, jnp.zeros((2, NUMBER, 4)))

    simulate_prompts(
        blind,
        lambda logits, *_: logits.sum(),
        targets,
        keys_of_targets(jax.random.key(0), targets),
        config,
    )
    jax.effects_barrier()
    return asked


@pytest.fixture(scope="module")
def mask():
    return np.random.default_rng(4).random((SIZE, SIZE)) < 0.2


@pytest.fixture(scope="module")
def asked(mask):
    return blind_rounds(mask, PromptSimulationConfig(remat=False))


def test_the_points_of_all_rounds_are_uniform_over_the_error(asked, mask):
    points, labels = asked[-1]
    assert (labels[:, :, -8:] == 1).all()
    x, y = points[:, :, -8:].reshape(-1, 2).astype(int).T
    counts = np.zeros((SIZE, SIZE), int)
    np.add.at(counts, (y, x), 1)
    assert counts.sum() == counts[mask].sum() == 8 * 2 * NUMBER
    assert stats.chisquare(counts[mask]).pvalue > 1e-3


def test_each_point_of_a_target_is_drawn_without_regard_to_the_others(asked):
    points = asked[-1][0][:, :, -8:].reshape(2 * NUMBER, 16)
    between = np.corrcoef(points.T)
    same_point = np.kron(np.eye(8), np.ones((2, 2))) > 0
    # Of 1000 independent pairs, a correlation has a deviation of 0.03.
    assert np.abs(between[~same_point]).max() < 0.15
    # And of the targets beside it.
    beside = [np.corrcoef(points[:-1, i], points[1:, i])[0, 1] for i in range(16)]
    assert np.abs(beside).max() < 0.15


@pytest.mark.parametrize("corrections", [2, 8])
def test_the_round_without_a_point_is_at_every_place_alike(mask, corrections):
    config = PromptSimulationConfig(correction_points=corrections, remat=False)
    rounds = blind_rounds(mask, config)[1:]
    used = np.stack([(labels != ABSENT).sum(-1) for _, labels in rounds])
    nothing_new = np.diff(used, axis=0, prepend=2) == 0
    assert nothing_new[-1].all()
    assert (nothing_new[:-1].sum(0) == 1).all()
    place = nothing_new[:-1].argmax(0)
    counts = np.bincount(place.ravel(), minlength=corrections)
    assert len(counts) == corrections
    assert stats.chisquare(counts).pvalue > 1e-3
    # Each target has its own: no image and no batch shares one.
    assert all(len(np.unique(row)) == corrections for row in place)


# Callbacks, printing, infeed and outfeed, and copies from and to other memory.
LEAVES_THE_DEVICE = re.compile("callback|debug|print|feed|device_put")


def primitives(jaxpr):
    """The names of everything that a program does, however deep."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            for each in value if isinstance(value, tuple | list) else (value,):
                each = getattr(each, "jaxpr", each)
                if hasattr(each, "eqns"):
                    yield from primitives(each)


def test_a_step_with_all_its_rounds_never_leaves_the_device(mini_config):
    model, config = Sam(mini_config), StepConfig()
    batch, key = disc_batch(0), jax.random.key(0)
    params = jax.eval_shape(lambda: init_params(key, model))
    gradient = jax.grad(lambda *args: batch_loss(*args, model, config)[0])
    names = set(primitives(jax.make_jaxpr(gradient)(params, batch, key).jaxpr))
    assert {"scan", "dot_general", "random_bits"} <= names
    assert not [name for name in names if LEAVES_THE_DEVICE.search(name)]

    # What the search would find, wherever it is.
    @jax.jit
    def printing(x):
        jax.lax.cond(x > 0, lambda: jax.debug.print("{}", x), lambda: None)
        return x

    found = set(primitives(jax.make_jaxpr(printing)(1.0).jaxpr))
    assert [name for name in found if LEAVES_THE_DEVICE.search(name)]
