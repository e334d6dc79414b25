"""The folder of a run: one run at a time, nobody else's files, and advice that works."""

import dataclasses

import jax.numpy as jnp
import pytest
from training.discs import DiscSource, make_discs
from training.loop_test import losses, two_stages

from samjax.files import InUse, WouldReplace
from samjax.training.loop import TrainingDiverged, train


def test_before_the_first_checkpoint_a_run_that_diverged_starts_again(
    fake_step, tmp_path
):
    class Broken(DiscSource):
        def batch(self, step):
            batch = super().batch(step)
            return batch._replace(images=batch.images.astype(jnp.float32) * jnp.nan)

    with pytest.raises(TrainingDiverged, match="start again"):
        train(
            two_stages(),
            out=tmp_path,
            make_source=lambda _, stage, *part: Broken(stage),
        )
    assert train(two_stages(), out=tmp_path, make_source=make_discs).finished


def test_a_second_run_in_a_folder_is_refused_and_the_first_one_undisturbed(
    fake_step, tmp_path
):
    refused = []

    def interfere(params):
        with pytest.raises(InUse, match=f"{tmp_path} of a run is in use by another"):
            train(two_stages(), out=tmp_path, resume=True, make_source=make_discs)
        refused.append(True)
        return {}

    result = train(
        two_stages(),
        out=tmp_path,
        make_source=make_discs,
        evaluators={"other": interfere},
    )
    assert result.finished and refused
    assert len(losses(tmp_path)) == two_stages().total_steps
    assert not (tmp_path / ".lock").exists()


def test_metrics_of_something_else_are_not_dropped(fake_step, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(mine := '{"step": 9, "loss": 0.5}\n')
    with pytest.raises(WouldReplace, match="metrics.jsonl"):
        train(two_stages(), out=tmp_path, make_source=make_discs)
    assert (tmp_path / "metrics.jsonl").read_text() == mine
    train(two_stages(), out=tmp_path, make_source=make_discs, overwrite=True)


def test_a_checkpoint_that_had_diverged_is_to_be_removed(fake_step, tmp_path):
    class Broken(DiscSource):
        def batch(self, step):
            batch = super().batch(step)
            images = batch.images.astype(jnp.float32)
            return batch._replace(images=images * (jnp.nan if step >= 2 else 1.0))

    def make_broken(config, stage, *part):
        return Broken(stage)

    config = dataclasses.replace(two_stages(), checkpoint_every=2)
    with pytest.raises(TrainingDiverged, match="resume from step 2"):
        train(config, out=tmp_path, make_source=make_broken)
    newest = tmp_path / "checkpoints" / "2"
    with pytest.raises(TrainingDiverged, match=f"remove {newest} and resume"):
        train(config, out=tmp_path, resume=True, make_source=make_broken)
    assert newest.is_dir()
