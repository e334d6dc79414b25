import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import CheckpointError
from samjax.checkpoints.store import TrainStore


def open_store(folder, config=None, **options):
    return TrainStore(folder, keep=2, config=config or {"seed": 1}, **options)


def state(value):
    return {"step": jnp.int32(value), "params": {"w": jnp.full((4, 3), value / 7)}}


@pytest.mark.parametrize("asynchronous", [None, True])
def test_what_is_restored_is_what_was_saved_bit_for_bit(tmp_path, asynchronous):
    store = open_store(tmp_path, asynchronous=asynchronous)
    for step in (1, 2, 3):
        store.save(step, state(step), {"position": {"global_next_index": 8 * step}})
    store.close()
    store = open_store(tmp_path)
    restored = store.restore(jax.eval_shape(state, 0))
    assert store.latest_step == 3
    assert restored.progress == {"position": {"global_next_index": 24}}
    jax.tree.map(np.testing.assert_array_equal, restored.state, state(3))
    store.close()


def test_a_checkpoint_that_was_not_finished_is_not_there(tmp_path):
    store = open_store(tmp_path)
    store.save(1, state(1), {})
    store.close()
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "2.orbax-checkpoint-tmp" / "state").mkdir()
    store = open_store(tmp_path)
    assert store.latest_step == 1
    store.save(2, state(2), {})
    assert store.restore(state(0)).state["step"] == 2
    store.close()


def test_a_step_is_saved_once(tmp_path):
    store = open_store(tmp_path)
    store.save(1, state(1), {})
    store.save(1, state(2), {})
    assert store.restore(state(0)).state["step"] == 1
    store.close()


def test_nothing_and_another_config_are_told_apart(tmp_path):
    store = open_store(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        store.restore(state(0))
    store.save(1, state(1), {})
    store.close()
    store = open_store(tmp_path, {"seed": 2})
    with pytest.raises(CheckpointError) as error:
        store.restore(state(0))
    assert error.value.problems == ("seed: checkpoint has 1, this run has 2",)
    store.close()
