"""The bundled model `tiny`, on drawn scenes, on one GPU of 80 GB or more.

    samjax train configs/train/synthetic_tiny_gpu.py --out runs/tiny_gpu

SAM's own recipe of prompts, losses and layers at the model's own size of 512 pixels:
all eleven rounds, losses summed over them, sixteen masks an image; after a first stage
on smaller images with fewer rounds. Computes in bfloat16. It has not been run yet.
"""

from samjax.data.synthetic import SceneConfig
from samjax.models import TINY
from samjax.training.config import Stage, TrainConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def get_config() -> TrainConfig:
    """Returns the run."""
    return TrainConfig(
        model=TINY,
        scenes=SceneConfig(),
        dtype="bfloat16",
        stages=(
            Stage(
                steps=30_000,
                image_size=256,
                batch_size=64,
                masks_per_image=8,
                prompts=PromptSimulationConfig(
                    correction_points=2, refine_at_random=False
                ),
            ),
            Stage(steps=30_000, image_size=512, batch_size=16, masks_per_image=16),
        ),
        optimizer=OptimizerConfig(
            peak_learning_rate=8e-4,
            warmup_steps=1000,
            schedule="cosine",
            weight_decay=0.1,
            layer_decay=0.9,
            clip_norm=1.0,
        ),
        ema_decay=0.9998,
        log_every=50,
        checkpoint_every=1000,
        evaluate_every=5000,
        picture_every=1000,
    )
