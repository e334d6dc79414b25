"""A model, batches and a run that train in moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.batch import Batch
from samjax.models import SamConfig
from samjax.training.config import (
    LossConfig,
    OptimizerConfig,
    PromptSimulationConfig,
    Stage,
    TrainConfig,
)


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
        decoder_num_heads=2,
        decoder_mlp_dim=32,
    )


@pytest.fixture(scope="session")
def run_config(mini_config) -> TrainConfig:
    """A run of ten steps in two stages."""
    prompts = PromptSimulationConfig(
        correction_points=1, refine_at_random=False, refine_at_end=True
    )

    def stage(steps, size):
        return Stage(
            steps=steps,
            image_size=size,
            batch_size=2,
            masks_per_image=2,
            prompts=prompts,
        )

    return TrainConfig(
        model=mini_config,
        stages=(stage(6, 32), stage(4, 48)),
        optimizer=OptimizerConfig(
            peak_learning_rate=1e-3, warmup_steps=2, schedule="cosine"
        ),
        losses=LossConfig(rounds="mean"),
        log_every=2,
        checkpoint_every=2,
        evaluate_every=5,
        picture_every=None,
        tensorboard=False,
    )


def disc_batch(step: int, *, batch_size=2, size=32, masks=2) -> Batch:
    """Draws bright discs on a dark ground; a function of the step alone."""
    rng = np.random.default_rng(step)
    centres = rng.uniform(0.25, 0.75, (batch_size, masks, 1, 1, 2)) * size
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x - centres[..., 0], y - centres[..., 1])
    discs = distance < size / 5
    brightness = np.linspace(120, 250, masks).reshape(1, masks, 1, 1)
    image = (discs * brightness).max(1)[..., None].repeat(3, -1)
    batch = Batch(
        images=image.astype(np.uint8),
        sizes=np.full((batch_size, 2), size, np.int32),
        masks=discs,
        valid=np.ones((batch_size, masks), bool),
    )
    return jax.tree.map(jnp.asarray, batch)


class DiscSource:
    """Batches of discs."""

    def __init__(self, stage: Stage):
        self.stage = stage

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        return disc_batch(
            step,
            batch_size=self.stage.batch_size,
            size=self.stage.image_size,
            masks=self.stage.masks_per_image,
        )
