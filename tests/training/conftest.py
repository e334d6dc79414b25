"""A model that trains in moments."""

import pytest
from training.fake_steps import fake_compile_step

from samjax.models import SamConfig
from samjax.training import loop


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


@pytest.fixture
def fake_step(monkeypatch):
    monkeypatch.setattr(loop, "compile_step", fake_compile_step)
