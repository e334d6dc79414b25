"""Compiled training step of a stage, its FLOPs and the devices' peak."""

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
    """Returns the step of a stage on the mesh of its state, compiled on first call.

    Args:
        model: The model.
        optimizer: Optimizer of its trainable parameters.
        config: The run.
        stage: The stage.
        state: A state with the shapes and shardings of the step's argument.

    Returns:
        A function of (state, batch, key of the run) that returns (state, metrics). The
        state is donated: its memory is reused for the new one.
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
    """Returns the jitted step, to be called or lowered where the state's mesh is set.

    The state is donated, and the new state has its shardings. The key of a step is
    folded from the state's own step count, so that a resumed run draws the same prompts.

    Args:
        model: The model.
        optimizer: Optimizer of its trainable parameters.
        config: The run.
        stage: The stage.
        state: A state, or abstract shapes with shardings.
    """
    step = functools.partial(
        train_step, model=model, optimizer=optimizer, config=config.stage_step(stage)
    )
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)

    def keyed_step(state: TrainState, batch: Any, key: Any):
        return step(state, batch, jax.random.fold_in(key, state.step))

    return jax.jit(
        keyed_step,
        donate_argnums=0,
        out_shardings=(shardings, replicated(shardings.step.mesh)),
    )


def stage_flops(config: TrainConfig, stage: Stage) -> float:
    """Returns the FLOPs of a step of a stage, over all devices."""
    return step_flops(
        config.model,
        stage.image_size,
        stage.batch_size,
        stage.masks_per_image,
        stage.prompts,
        encoder=config.encoder_training,
    )


def peak_of(mesh: Mesh, config: TrainConfig) -> float | None:
    """Returns the peak of all devices of a mesh together, in FLOPs per second.

    None for an unknown kind of device, such as a CPU.
    """
    peak = peak_flops(mesh.devices.flat[0].device_kind, config.dtype)
    return None if peak is None else peak * mesh.size
