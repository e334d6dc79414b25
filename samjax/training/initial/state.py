"""Initial state of a run, and of its later stages.

A run starts from random, informed or given parameters. A stage starts from the state of
the stage before, with position tables filled in for inputs of another size.
"""

from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from samjax.data.batch import ReaderSource, dense_batch
from samjax.geometry.frame import normalize
from samjax.models.sam import Sam
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune.lora import add_lora
from samjax.training.finetune.trainable import split_params
from samjax.training.initial.informed import (
    align_cross_attention,
    spread_frequencies,
    whiten_patches,
)
from samjax.training.initial.relative_tables import fill_relative_tables
from samjax.training.optimizer import make_optimizer
from samjax.training.runtime.jit_once import jit_once
from samjax.training.runtime.placement import Placement
from samjax.training.runtime.sources import SourceFactory
from samjax.training.step import (
    Params,
    TrainState,
    averaged_params,
    init_params,
    init_state,
)


class InitialState:
    """Initial state of a run on its mesh, as arrays or as abstract shapes.

    Args:
        config: The run.
        model: Its model.
        placement: Its mesh.

    Attributes:
        optimizer: Optimizer of the run's trainable parameters.
    """

    def __init__(self, config: TrainConfig, model: Sam, placement: Placement):
        self._config, self._model, self._placement = config, model, placement
        self._key = jax.random.key(config.seed)
        shapes = jax.eval_shape(self._fresh_params, self._key)
        trained, _ = split_params(shapes, config.trainable)
        self.optimizer = make_optimizer(
            config.optimizer,
            trained,
            depth=config.model.depth,
            total_steps=config.total_steps,
        )

    def shapes(self) -> TrainState:
        """Returns the shapes, dtypes and shardings of a state."""
        return self._placement.shapes(self._fresh_state, self._key)

    def make(
        self, initial_params: Params | None, make_source: SourceFactory
    ) -> TrainState:
        """Returns the state.

        Args:
            initial_params: Initial parameters; None draws them, as the config says.
            make_source: Makes the source whose first batch informed parameters are
                fitted to.
        """
        if initial_params is None and self._config.initialization == "random":
            return self._placement.make(self._fresh_state, self._key)
        if initial_params is None:
            initial_params = self._informed_params(make_source)
        params = self._adapted(self._key, initial_params)
        return self._placement.make(self._state_of, self._placement.shard(params))

    def _informed_params(self, make_source: SourceFactory) -> Params:
        """Draws informed parameters, whole on one device: such models are small."""
        params = jit_once(init_params, static_argnums=1)(self._key, self._model)
        # The whole batch in every process, so that all start from equal parameters.
        source = make_source(self._config, self._config.stages[0], 0, 1)
        try:
            first = jax.jit(dense_batch)(source.batch(0))
        finally:
            if isinstance(source, ReaderSource):
                source.close()
        params = whiten_patches(params, normalize(first.images, first.sizes))
        return align_cross_attention(spread_frequencies(params))

    def _fresh_state(self, key: PRNGKeyArray) -> TrainState:
        return self._state_of(self._fresh_params(key))

    def _fresh_params(self, key: PRNGKeyArray) -> Params:
        return self._adapted(key, init_params(key, self._model))

    def _adapted(self, key: PRNGKeyArray, params: Params) -> Params:
        return add_lora(jax.random.fold_in(key, 1), params, self._config.lora)

    def _state_of(self, params: Any) -> TrainState:
        step = self._config.stage_step(self._config.stages[0])
        return init_state(params, self.optimizer, step)


def next_stage_state(
    state: TrainState, config: TrainConfig, stage: Stage
) -> TrainState:
    """Returns the state that the stage after a stage starts from.

    Args:
        state: State at the end of the stage.
        config: The run.
        stage: The stage that has ended.
    """
    params = with_filled_tables(state.params, config, stage)
    if state.ema_params is None:
        return state._replace(params=params)
    averaged = averaged_params(state, config.trainable)
    averaged = with_filled_tables(averaged, config, stage)
    averaged, _ = split_params(averaged, config.trainable)
    return state._replace(params=params, ema_params=averaged)


def with_filled_tables(params: Params, config: TrainConfig, stage: Stage) -> Params:
    """Fills the relative position tables of parameters trained in a stage.

    Crops read the rows of the model's own size, and tables that are not trained must not
    change: both are returned as they are.
    """
    if stage.crops or config.trainable != "all":
        return params
    return fill_relative_tables(params, config.model, stage.image_size)
