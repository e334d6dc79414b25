"""One of many processes of a small run, as a program.

    python many_run.py OUT HOST:PORT,RANK,COUNT DEVICES STEPS

trains what `small_run` trains, in batches of four images, on a mesh over the devices of
all processes; `alone` stands for the address of a process that is. A process that is to
misbehave finds what and when in its environment, and `CHEAP` there stands for a step
that computes next to nothing, but with numbers of all processes.
"""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def main(out: str, way: str, devices: str, steps: str) -> None:
    """Runs it."""
    import jax

    jax.config.update("jax_num_cpu_devices", int(devices))
    from small_run import run_config

    from samjax import sharding
    from samjax.distributed import Bounds, ending_together, start
    from samjax.training import loop

    config = run_config()
    stage = dataclasses.replace(config.stages[0], batch_size=4, steps=int(steps))
    config = dataclasses.replace(config, stages=(stage,), checkpoint_every=3)
    # Four processes compile at the same time, on a machine that others use too.
    bounds = Bounds(start=300, heartbeat=60, leave=60, step=300, pause=900)
    if "CHEAP" in os.environ:
        bounds = Bounds(start=120, heartbeat=10, leave=5, step=15, pause=120)
        loop.compile_step = cheap_step
    else:
        # Everything is cut that can be, over the devices of all processes.
        sharding.SMALLEST = 2
        config = dataclasses.replace(config, mesh=sharding.MeshConfig(fsdp=4))
    start(None if way == "alone" else way, bounds)
    with ending_together():
        loop.train(config, out=out, resume=True, make_source=misbehaving, bounds=bounds)


def misbehaving(config, stage, *part):
    """A source that does what is wrong with this process, at the step it is told."""
    from discs import DiscSource

    del config

    def at(name):
        return int(os.environ.get(name, "-1"))

    class Misbehaving(DiscSource):
        def batch(self, step):
            if step == at("STUCK_AT"):
                time.sleep(1000)
            if step == at("FAIL_AT"):
                raise OSError("the disk is gone")
            if step == at("TERMINATE_AT"):
                os.kill(os.getpid(), signal.SIGTERM)
            if "CHEAP" in os.environ:
                time.sleep(0.05)
            return super().batch(step)

    return Misbehaving(stage, *part)


def cheap_step(model, optimizer, config, stage, state):
    """A step whose loss is the brightness of all images."""
    import jax
    import jax.numpy as jnp

    del model, optimizer, config, stage
    places = jax.tree.map(lambda leaf: leaf.sharding, state)

    def step(state, batch, key):
        del key
        loss = jnp.mean(batch.images.astype(jnp.float32))
        return state._replace(step=state.step + 1), {"loss": loss}

    return jax.jit(step, donate_argnums=0, out_shardings=(places, places.step))


if __name__ == "__main__":
    main(*sys.argv[1:])
