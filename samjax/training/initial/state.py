"""Initial state of a run: random, informed or given parameters on its mesh."""

from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from samjax.data.batch import dense_batch
from samjax.geometry.frame import normalize
from samjax.models.sam import Sam
from samjax.training.config import TrainConfig
from samjax.training.finetune.lora import add_lora
from samjax.training.finetune.trainable import split_params
from samjax.training.initial.informed import (
    align_cross_attention,
    spread_frequencies,
    whiten_patches,
)
from samjax.training.optimizer import make_optimizer
from samjax.training.runtime.placement import Placement
from samjax.training.runtime.sources import SourceFactory
from samjax.training.step import Params, TrainState, init_params, init_state


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
        params = init_params(self._key, self._model)
        # The whole batch in every process, so that all start from equal parameters.
        first = make_source(self._config, self._config.stages[0], 0, 1).batch(0)
        first = jax.jit(dense_batch)(first)
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
