"""A run on a dataset that is started again and again, as a function of a fresh process."""

import json
import os
from pathlib import Path

from samjax.data.datasets import DatasetConfig
from samjax.training.config import TrainConfig
from samjax.training.loop import train
from samjax.training.runtime.sources import make_source

STEPS = 100


def run_config(data: str) -> TrainConfig:
    """A small run that reads SA-1B's form, of which some is damaged."""
    import dataclasses

    from training import small_run

    config = small_run.run_config()
    stage = dataclasses.replace(config.stages[0], steps=STEPS)
    dataset = DatasetConfig(
        path=data, flip=True, boundaries_per_mask=64, max_bad_fraction=1.0
    )
    return dataclasses.replace(
        config, stages=(stage,), data=dataset, checkpoint_every=4
    )


class Recording:
    """A source that notes which examples each batch has, before it is trained on."""

    def __init__(self, source, out: Path):
        self.source, self.path = source, out / "order.jsonl"

    def batch(self, step):
        """The batch of a step."""
        batch = self.source.batch(step)
        line = json.dumps({"step": step, "index": batch.index.tolist()}) + "\n"
        # One write, so that a process that is killed leaves whole lines.
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode())
        return batch

    @property
    def position(self):
        """The source's."""
        return self.source.position

    def close(self):
        """Ends the source's threads."""
        self.source.close()


def start_or_resume(out: str, data: str) -> None:
    """Runs to the end, or until it is killed."""
    import jax

    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    os.makedirs(out, exist_ok=True)
    train(
        run_config(data),
        out=out,
        resume=True,
        make_source=lambda *stage: Recording(make_source(*stage), Path(out)),
    )
