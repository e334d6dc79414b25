import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import CheckpointError
from samjax.checkpoints.store import TrainStore, newest_step


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
    assert newest_step(tmp_path) == 1
    assert newest_step(tmp_path / "missing") is None
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


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def halve(folder):
    for path in files_in(folder):
        os.truncate(path, path.stat().st_size // 2)


def empty(folder):
    for path in files_in(folder):
        os.truncate(path, 0)


def arrays_of(folder):
    return [path for path in files_in(folder / "state") if "/d/" in str(path)]


def flip(folder):
    path = arrays_of(folder)[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unseal_and_halve(folder):
    (folder / "samjax_checksums.json").unlink()
    halve(folder)


DAMAGES = {
    "cut off": (halve, "damaged"),
    "emptied": (empty, "damaged"),
    "without checksums, cut off": (unseal_and_halve, "damaged"),
    "a file gone": (lambda folder: arrays_of(folder)[-1].unlink(), "is missing"),
    "a bit flipped": (flip, "another checksum"),
    "no JSON": (
        lambda folder: (folder / "config" / "metadata").write_bytes(b"\xff"),
        "config/metadata has 1 bytes",
    ),
    "all gone": (
        lambda folder: (shutil.rmtree(folder), folder.mkdir()),
        "it is empty",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checkpoint_before_a_damaged_one_is_used(tmp_path, damage):
    break_it, words = DAMAGES[damage]
    store = open_store(tmp_path)
    for step in (1, 2):
        store.save(step, state(step), {"of": step})
    store.close()
    break_it(tmp_path / "2")
    store = open_store(tmp_path)
    restored = store.restore(state(0))
    assert restored.state["step"] == 1 and restored.progress == {"of": 1}
    (note,) = restored.notes
    assert f"{tmp_path / '2'} is damaged" in note and words in note
    assert "from step 1" in note and (tmp_path / "2.damaged").is_dir()
    # Its step can be saved again, and is the newest then.
    store.save(2, state(2), {})
    assert store.latest_step == 2
    store.close()
    store = open_store(tmp_path)
    assert store.restore(state(0)).state["step"] == 2
    store.close()


def test_where_none_is_whole_all_are_named_and_stay(tmp_path):
    store = open_store(tmp_path)
    for step in (1, 2):
        store.save(step, state(step), {})
    store.close()
    for step in (1, 2):
        halve(tmp_path / str(step))
    store = open_store(tmp_path)
    with pytest.raises(CheckpointError, match="remove them") as error:
        store.restore(state(0))
    assert [str(tmp_path / n) in p for n, p in zip("21", error.value.problems)] == [
        True,
        True,
    ]
    assert (tmp_path / "1").is_dir() and (tmp_path / "2").is_dir()
    store.close()


def test_a_run_goes_on_with_another_value_of_what_may_change(tmp_path):
    before = {"seed": 1, "optimizer": {"rate": 1.0}}
    after = {"seed": 1, "optimizer": {"rate": 0.5}}
    store = open_store(tmp_path, before)
    store.save(1, state(1), {})
    store.close()
    store = open_store(tmp_path, after)
    with pytest.raises(CheckpointError, match="another config"):
        store.restore(state(0))
    store.close()
    store = open_store(tmp_path, after, may_change=("optimizer.rate",))
    restored = store.restore(state(0))
    assert restored.state["step"] == 1
    assert "optimizer.rate: checkpoint has 1.0, this run has 0.5" in restored.notes[0]
    store.close()
