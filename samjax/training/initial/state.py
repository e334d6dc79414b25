"""The state that a run begins with."""

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


class Beginning:
    """Makes the first state of a run on its mesh, or says what it looks like.

    Args:
        config: The run.
        model: Its model.
        placement: Where its arrays live.

    Attributes:
        optimizer: The run's, for its trainable parameters.
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
        """Returns the shapes of a state, and where its arrays lie."""
        return self._placement.shapes(self._fresh_state, self._key)

    def state(
        self, initial_params: Params | None, make_source: SourceFactory
    ) -> TrainState:
        """Makes the state.

        Args:
            initial_params: Parameters to start from; fresh ones without them.
            make_source: Gives the images that an informed start looks at.
        """
        if initial_params is None and self._config.initialization == "random":
            return self._placement.make(self._fresh_state, self._key)
        if initial_params is None:
            initial_params = self._informed_params(make_source)
        params = self._adapted(self._key, initial_params)
        return self._placement.make(self._state_of, self._placement.place(params))

    def _informed_params(self, make_source: SourceFactory) -> Params:
        """Fresh parameters that know some of the task; they are small enough to be whole."""
        params = init_params(self._key, self._model)
        # All of the batch in every process, so that all begin with the same numbers.
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
