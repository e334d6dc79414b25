"""Steps on meshes of eight simulated devices, as a program that prints JSON.

One line per mesh: the losses, how far parameters and optimizer state are from those of a
single device after the last step, and what every device holds a copy of.
"""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

jax.config.update("jax_num_cpu_devices", 8)

STEPS = 3
MESHES = {
    "one": None,
    "fsdp": {"fsdp": 8},
    "all": {"data": 2, "fsdp": 2, "tensor": 2},
    "parts": {"fsdp": 4},
    "turns": {"data": 2, "fsdp": 2},
}
DEVICES = {"one": 1, "parts": 4, "turns": 4}


def run_config(name):
    """A model of which some parameters are large enough to be cut.

    Its only prompts are exact boxes, so that the parts of a batch get those of the whole.
    """
    from small_run import run_config

    from samjax.sharding import MeshConfig
    from samjax.training.prompt_draws import BoxNoise
    from samjax.training.prompt_simulation import PromptSimulationConfig

    config = run_config()
    prompts = PromptSimulationConfig(
        correction_points=0,
        refine_at_random=False,
        box_probability=1.0,
        box_noise=BoxNoise(ratio=0.0),
        remat=False,
        masks_at_a_time=1 if name == "turns" else None,
    )
    stage = dataclasses.replace(
        config.stages[0],
        steps=STEPS,
        batch_size=8,
        prompts=prompts,
        accumulate=2 if name == "parts" else 1,
    )
    model = dataclasses.replace(
        config.model, embed_dim=128, prompt_embed_dim=64, drop_path_rate=0.0, remat=True
    )
    return dataclasses.replace(
        config,
        model=model,
        stages=(stage,),
        mesh=MeshConfig(**(MESHES[name] or {})),
        initialization="random",
    )


def main() -> None:
    """Runs all meshes."""
    first = None
    for name in MESHES:
        devices = jax.devices()[: DEVICES.get(name)]
        whole, measured = run(run_config(name), devices)
        first = first or whole
        measured["name"] = name
        measured["params"] = share_that_differs(whole.params, first.params)
        measured["moments"] = distance(whole.opt_state, first.opt_state)
        print(json.dumps(measured), flush=True)


def run(config, devices):
    """Takes the steps; returns the last state, and what was seen of the steps."""
    from discs import make_discs

    from samjax.models import Sam
    from samjax.sharding import make_mesh
    from samjax.training.initial.state import InitialState
    from samjax.training.runtime.placement import Placement
    from samjax.training.runtime.program import compile_step

    (stage,) = config.stages
    placement = Placement(make_mesh(config.mesh, devices))
    model = Sam(config.model, dtype=jnp.dtype(config.dtype))
    initial = InitialState(config, model, placement)
    state = initial.make(None, make_discs)
    step = compile_step(model, initial.optimizer, config, stage, state)
    source = make_discs(config, stage)
    losses, masks = [], []
    for i in range(STEPS):
        batch = source.batch(i)
        # Some masks are missing, in one part of the batch.
        batch = batch._replace(valid=batch.valid.at[1].set(False))
        before = state
        state, metrics = step(state, placement.batch(batch), placement.key(1))
        losses.append(float(metrics["loss"]))
        masks.append(float(metrics["masks"]))
    leaves = jax.tree.leaves(state)
    places = [leaf.sharding for leaf in jax.tree.leaves(initial.shapes())]
    measured = {
        "losses": losses,
        "masks": masks,
        "copied": copied(state),
        "moved": sum(x.sharding != at for x, at in zip(leaves, places, strict=True)),
        "kept": sum(not leaf.is_deleted() for leaf in jax.tree.leaves(before)),
        "bytes": sum(leaf.addressable_data(0).nbytes for leaf in leaves),
    }
    return jax.tree.map(np.asarray, placement.whole(state)), measured


def distance(tree, other):
    """The largest difference of two trees, over the largest number of each array."""
    return max(
        float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-4))
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
        if a.dtype == np.float32
    )


def share_that_differs(tree, other):
    """The share of numbers that differ by more than a hundredth of one update.

    Where a gradient is zero but for rounding, Adam makes a whole update of the rounding.
    """
    differs = [
        np.abs(a - b).ravel() > 1e-5
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    ]
    return float(np.mean(np.concatenate(differs)))


def copied(state):
    """Elements of the largest array of which every device holds all."""
    return max(
        leaf.size
        for leaf in jax.tree.leaves(state)
        if leaf.sharding.is_fully_replicated
    )


if __name__ == "__main__":
    main()
