"""A model that trains in moments."""

import jax
import jax.numpy as jnp
import pytest

from samjax.models import SamConfig
from samjax.training import loop
from samjax.training.step import TrainState


@pytest.fixture(scope="session")
def mini_config() -> SamConfig:
    """Sizes of a model that learns to segment discs: 32 pixels, a grid of 4 x 4."""
    return SamConfig(
        image_size=32,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        global_attention_blocks=(1,),
        window_size=2,
        prompt_embed_dim=32,
        decoder_depth=1,
        decoder_num_heads=2,
        decoder_mlp_dim=32,
    )


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


@pytest.fixture
def fake_step(monkeypatch):
    monkeypatch.setattr(loop, "compile_step", fake_compile_step)
