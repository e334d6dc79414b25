"""Training steps that cost nothing, for tests of the order of a run."""

import jax
import jax.numpy as jnp

from samjax.training.step import TrainState


def fake_compile_step(model, optimizer, config, stage, state):
    """A step that costs nothing: the loss is the brightness, the parameters count."""
    del model, optimizer, config, state

    @jax.jit
    def step(state, batch, key):
        del key
        assert batch.images.shape[1] == stage.image_size
        params = jax.tree.map(lambda x: x + 1.0, state.params)
        ema_params = jax.tree.map(lambda x: x + 0.5, state.ema_params)
        state = TrainState(state.step + 1, params, state.opt_state, ema_params)
        return state, {"loss": jnp.mean(batch.images.astype(jnp.float32))}

    return step
