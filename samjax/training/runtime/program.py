"""The compiled step of a stage, and what it costs."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from samjax.models.sam import Sam
from samjax.sharding import replicated
from samjax.training.config import Stage, TrainConfig
from samjax.training.runtime.flops import peak_flops, step_flops
from samjax.training.step import TrainState, train_step


def compile_step(
    model: Sam,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    stage: Stage,
    state: TrainState,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, Any]]:
    """Compiles the step of a stage, when it is first called, for the mesh of its state.

    Args:
        model: The model.
        optimizer: For its trainable parameters.
        config: The run.
        stage: The stage.
        state: A state as the step will get it.

    Returns:
        A function of (state, batch, key of the run) that returns (state, metrics). It
        reuses the memory of the state that it is given.
    """
    program = step_program(model, optimizer, config, stage, state)
    mesh = jax.tree.leaves(state)[0].sharding.mesh

    def step(state: TrainState, batch: Any, key: Any) -> tuple[TrainState, Any]:
        with jax.set_mesh(mesh):
            return program(state, batch, key)

    return step


def step_program(
    model: Sam,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    stage: Stage,
    state: TrainState,
) -> Any:
    """Returns the jitted step: call or lower it where the state's mesh is set.

    The state's memory is reused for the new state, which lies where it lay. The key of
    a step comes from the state's own count, so it is the same whenever and wherever the
    step is taken.

    Args:
        model: The model.
        optimizer: For its trainable parameters.
        config: The run.
        stage: The stage.
        state: A state, or shapes that say where its arrays lie.
    """
    step = functools.partial(
        train_step, model=model, optimizer=optimizer, config=config.stage_step(stage)
    )
    places = jax.tree.map(lambda leaf: leaf.sharding, state)

    def keyed_step(state: TrainState, batch: Any, key: Any):
        return step(state, batch, jax.random.fold_in(key, state.step))

    return jax.jit(
        keyed_step,
        donate_argnums=0,
        out_shardings=(places, replicated(places.step.mesh)),
    )


def stage_flops(config: TrainConfig, stage: Stage) -> float:
    """Counts what a step of a stage computes, in FLOPs, over all devices."""
    return step_flops(
        config.model,
        stage.image_size,
        stage.batch_size,
        stage.masks_per_image,
        stage.prompts,
        encoder=config.encoder_training,
    )


def peak_of(mesh: Mesh, config: TrainConfig) -> float | None:
    """Returns what the devices of a mesh can do together, in FLOPs per second.

    None where the kind of device is not known, as for every CPU.
    """
    peak = peak_flops(mesh.devices.flat[0].device_kind, config.dtype)
    return None if peak is None else peak * mesh.size
