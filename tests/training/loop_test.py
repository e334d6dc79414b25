import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.discs import DiscSource, disc_batch, make_discs
from training.fake_steps import fake_compile_step
from training.small_run import STEPS, run_config

from samjax import CheckpointError
from samjax.data.datasets import DatasetConfig
from samjax.models import Sam
from samjax.sharding import make_mesh
from samjax.training import loop
from samjax.training.config import Stage
from samjax.training.finetune.trainable import split_params
from samjax.training.loop import TooManyBadExamples, TrainingDiverged, train
from samjax.training.runtime.placement import Placement
from samjax.training.step import init_params

PROGRAM = Path(__file__).with_name("small_run.py")


def records(out):
    lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def losses(out):
    """The losses of all steps, in order; exact, since JSON keeps every bit."""
    found = [record for record in records(out) if "loss" in record]
    assert [record["step"] for record in found] == list(range(1, len(found) + 1))
    return [record["loss"] for record in found]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run without interruption, in a process of its own."""
    out = tmp_path_factory.mktemp("whole")
    program(out).wait()
    assert len(losses(out)) == STEPS
    return out


def program(out):
    environment = os.environ | {
        "PYTHONPATH": str(PROGRAM.parents[2]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_instant_gives_the_same_losses(whole_run, tmp_path):
    rng = np.random.default_rng()
    for _ in range(2):
        process = program(tmp_path)
        before = count_lines(tmp_path)
        enough = before + int(rng.integers(1, 6))
        while count_lines(tmp_path) < enough and process.poll() is None:
            time.sleep(0.002)
        # Somewhere in a step, in a write or in a checkpoint.
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
    assert program(tmp_path).wait() == 0
    assert losses(tmp_path) == losses(whole_run)


def count_lines(out):
    path = out / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def test_sigterm_saves_and_leaves_and_the_run_can_be_resumed(fake_step, tmp_path):
    class Interrupting(DiscSource):
        def batch(self, step):
            if step == 6:
                signal.raise_signal(signal.SIGTERM)
            return super().batch(step)

    handler = signal.getsignal(signal.SIGTERM)
    first = train(
        run_config(),
        out=tmp_path,
        make_source=lambda _, stage, *part: Interrupting(stage),
    )
    # The batch of the seventh step is read while the steps before it run.
    assert 1 <= first.steps <= 7 and not first.finished
    assert signal.getsignal(signal.SIGTERM) is handler
    second = train(run_config(), out=tmp_path, resume=True, make_source=make_discs)
    assert (second.steps, second.finished) == (STEPS, True)
    # The fake step's loss is the brightness of its batch.
    expected = [disc_batch(step).images.mean(dtype=float) for step in range(STEPS)]
    np.testing.assert_allclose(losses(tmp_path), expected, rtol=1e-4)


def two_stages():
    config = run_config()
    (stage,) = config.stages
    first = dataclasses.replace(stage, steps=STEPS - 6)
    second = dataclasses.replace(stage, steps=6, image_size=48)
    return dataclasses.replace(config, stages=(first, second))


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A run in this process, with what its evaluator was given; left as it is."""
    seen = []
    out = tmp_path_factory.mktemp("finished")

    def evaluator(params):
        seen.append(jax.tree.map(np.asarray, params))
        return {"score": len(seen)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "compile_step", fake_compile_step)
        result = train(
            two_stages(),
            out=out,
            make_source=make_discs,
            evaluators={"fake": evaluator},
        )
    return out, result, seen


def test_a_run_goes_through_all_its_stages(finished_run):
    out, result, _ = finished_run
    assert result.finished and result.steps == STEPS
    expected = [
        disc_batch(step, size=32 if step < STEPS - 6 else 48).images.mean(dtype=float)
        for step in range(STEPS)
    ]
    np.testing.assert_allclose(losses(out), expected, rtol=1e-4)


@pytest.mark.parametrize("initialization", ["random", "informed"])
def test_a_run_from_nothing_starts_informed_if_asked(
    fake_step, tmp_path, initialization
):
    config = run_config()
    (stage,) = config.stages
    config = dataclasses.replace(
        config,
        stages=(dataclasses.replace(stage, steps=1),),
        initialization=initialization,
    )
    params = train(config, out=tmp_path, make_source=make_discs).params
    # The fake step adds one number to everything.
    attention = params["mask_decoder"]["transformer"]["final_attn_token_to_image"]
    queries, keys = (attention[name]["kernel"] for name in ("q_proj", "k_proj"))
    assert np.array_equal(queries, keys) == (initialization == "informed")
    fresh = init_params(jax.random.key(config.seed), Sam(config.model))
    kernels = [
        tree["image_encoder"]["patch_embed"]["proj"]["kernel"]
        for tree in (params, fresh)
    ]
    is_fresh = np.allclose(kernels[0] - 0.5, kernels[1], atol=1e-5)
    assert is_fresh == (initialization == "random")
    frequencies = (
        tree["prompt_encoder"]["pe_layer"]["positional_encoding_gaussian_matrix"]
        for tree in (params, fresh)
    )
    # A constant of the model, of which there is no average.
    ratio = np.mean((next(frequencies) - 1.0) / next(frequencies))
    np.testing.assert_allclose(
        ratio, 2.5 if initialization == "informed" else 1.0, 0.01
    )


def test_evaluators_get_the_averaged_parameters_now_and_then_and_at_the_end(
    finished_run,
):
    out, result, seen = finished_run
    scores = {r["step"]: r["fake/score"] for r in records(out) if "fake/score" in r}
    assert scores == {5: 1, 10: 2, 15: 3, 16: 4}
    jax.tree.map(np.testing.assert_array_equal, seen[-1], result.params)
    # The average moves by a half a step where the parameters move by one.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b - a, 2.5, rtol=1e-5),
        *(split_params(params, "all")[0] for params in seen[:2]),
    )


def test_only_the_newest_checkpoints_are_kept(finished_run):
    out, *_ = finished_run
    assert checkpoint_steps(out) == [12, 16]


def checkpoint_steps(out):
    return sorted(int(path.name) for path in (out / "checkpoints").glob("[0-9]*"))


def test_a_finished_run_is_not_trained_again(finished_run):
    out, result, _ = finished_run
    before = records(out)
    again = train(two_stages(), out=out, resume=True, make_source=make_discs)
    assert again.finished and records(out) == before
    jax.tree.map(np.testing.assert_array_equal, again.params, result.params)


def test_a_folder_with_a_run_is_not_written_over(finished_run):
    out, *_ = finished_run
    before = records(out)
    with pytest.raises(ValueError, match="holds a run at step 16"):
        train(two_stages(), out=out, make_source=make_discs)
    assert records(out) == before


def test_a_run_is_not_resumed_with_another_config(finished_run):
    out, *_ = finished_run
    config = two_stages()
    other = dataclasses.replace(
        config,
        seed=5,
        optimizer=dataclasses.replace(config.optimizer, beta2=0.5),
        log_every=7,
    )
    with pytest.raises(CheckpointError) as error:
        train(other, out=out, resume=True, make_source=make_discs)
    assert error.value.problems == (
        "optimizer.beta2: checkpoint has 0.999, this run has 0.5",
        "seed: checkpoint has 0, this run has 5",
    )


def test_a_loss_that_is_not_finite_ends_the_run_and_is_never_saved(fake_step, tmp_path):
    class Broken(DiscSource):
        def batch(self, step):
            batch = super().batch(step)
            images = batch.images.astype(jnp.float32)
            return batch._replace(images=images * (jnp.nan if step == 5 else 1.0))

    with pytest.raises(TrainingDiverged, match="loss of step 6 is nan") as error:
        train(
            two_stages(),
            out=tmp_path,
            make_source=lambda _, stage, *part: Broken(stage),
        )
    assert checkpoint_steps(tmp_path) == [4]
    assert len(losses(tmp_path)) == 5
    assert "resume from step 4" in str(error.value)
    # What it advises can be done.
    config = two_stages()
    lower = dataclasses.replace(
        config.optimizer, peak_learning_rate=1e-5, clip_norm=1.0
    )
    config = dataclasses.replace(config, optimizer=lower)
    result = train(config, out=tmp_path, resume=True, make_source=make_discs)
    assert result.finished and len(losses(tmp_path)) == config.total_steps


def test_a_run_may_start_from_given_parameters_and_leaves_them_alone(
    fake_step, tmp_path
):
    config = dataclasses.replace(two_stages(), ema_decay=None)
    params = init_params(jax.random.key(99), Sam(config.model))
    result = train(config, out=tmp_path, initial_params=params, make_source=make_discs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b - a, STEPS, rtol=1e-5),
        params,
        result.params,
    )


def test_a_profile_of_some_steps_is_recorded_when_asked(fake_step, tmp_path):
    train(two_stages(), out=tmp_path, make_source=make_discs, profile_steps=2)
    (profile,) = (tmp_path / "profile").rglob("*.xplane.pb")
    assert profile.stat().st_size > 0


def test_a_signal_at_the_end_of_a_stage_ends_the_run_there(
    fake_step, tmp_path, monkeypatch
):
    last = two_stages().stages[0].steps

    class AtTheEnd:
        def requested(self, step):
            return step == last

    monkeypatch.setattr(
        loop, "stop_on_signals", lambda: contextlib.nullcontext(AtTheEnd())
    )
    result = train(two_stages(), out=tmp_path, make_source=make_discs)
    assert (result.steps, result.finished) == (last, False)
    assert checkpoint_steps(tmp_path)[-1] == last


def test_batches_that_cannot_be_dealt_out_are_refused(tmp_path):
    config = two_stages()
    stages = tuple(
        dataclasses.replace(stage, batch_size=4, accumulate=4)
        for stage in config.stages
    )
    config = dataclasses.replace(config, stages=stages)
    placement = Placement(make_mesh(config.mesh))
    placement.check(4, 4)
    with pytest.raises(ValueError, match="expected a multiple of 3"):
        placement.check(4, 3)


def test_damage_is_reported_at_the_end_and_saved_with_the_checkpoint(
    fake_step, tmp_path, monkeypatch, capsys
):
    def counting(*given):
        step = fake_compile_step(*given)

        def counted(state, batch, key):
            state, metrics = step(state, batch, key)
            return state, metrics | {"bad_examples": 1, "bad_masks": 2}

        return counted

    monkeypatch.setattr(loop, "compile_step", counting)
    config = dataclasses.replace(
        two_stages(), data=DatasetConfig(path="none", max_bad_fraction=1.0)
    )
    train(config, out=tmp_path, make_source=make_discs)
    assert "16 of 32 examples were damaged" in capsys.readouterr().out
    saved = tmp_path / "checkpoints" / "16" / "progress" / "metadata"
    assert json.loads(saved.read_text())["bad"]["bad_masks"] == 32

    config = dataclasses.replace(
        config, data=DatasetConfig(path="none", max_bad_fraction=0.0)
    )
    with pytest.raises(TooManyBadExamples, match="1 of 2 examples"):
        train(config, out=tmp_path / "strict", make_source=make_discs)


def test_senseless_configs_are_refused_with_everything_that_is_wrong():
    config = run_config()
    bad = Stage(steps=0, image_size=33, batch_size=2, masks_per_image=1)
    with pytest.raises(ValueError) as error:
        dataclasses.replace(config, stages=(bad,), log_every=0)
    for part in ("stages[0].steps", "image_size=33", "log_every=0"):
        assert part in str(error.value)
