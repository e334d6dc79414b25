"""A run of seconds, as a program: `python small_run.py OUT` starts or resumes it."""

import sys
from pathlib import Path

from samjax.models import SamConfig
from samjax.training.config import (
    LossConfig,
    OptimizerConfig,
    PromptSimulationConfig,
    Stage,
    TrainConfig,
)
from samjax.training.loop import train

STEPS = 16


def run_config() -> TrainConfig:
    """A model of one block, with everything that a resumed run has to get right."""
    prompts = PromptSimulationConfig(
        correction_points=1, refine_at_random=False, refine_at_end=False, remat=False
    )

    stage = Stage(
        steps=STEPS,
        image_size=32,
        batch_size=2,
        masks_per_image=2,
        prompts=prompts,
    )
    return TrainConfig(
        model=SamConfig(
            image_size=32,
            patch_size=8,
            embed_dim=16,
            depth=1,
            num_heads=2,
            global_attention_blocks=(0,),
            prompt_embed_dim=16,
            decoder_depth=1,
            decoder_num_heads=2,
            decoder_mlp_dim=16,
            drop_path_rate=0.1,
        ),
        stages=(stage,),
        optimizer=OptimizerConfig(
            peak_learning_rate=1e-3, warmup_steps=2, schedule="cosine"
        ),
        losses=LossConfig(rounds="mean"),
        ema_decay=0.9,
        initialization="informed",
        log_every=2,
        checkpoint_every=4,
        evaluate_every=5,
        picture_every=None,
        tensorboard=False,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from discs import make_discs

    train(run_config(), out=sys.argv[1], resume=True, make_source=make_discs)
