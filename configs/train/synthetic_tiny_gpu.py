"""The bundled model `tiny`, on drawn scenes, on one GPU of 80 GB or more.

    samjax train configs/train/synthetic_tiny_gpu.py --out runs/tiny_gpu

SAM's own recipe of prompts, losses and layers at the model's own size of 512 pixels:
all eleven rounds, losses summed over them, sixteen masks an image; after a first stage
on smaller images with fewer rounds. Computes in bfloat16. It has not been run yet; what
was learnt from runs on a CPU (`synthetic_tiny.py`) is in it.
"""

from samjax.data.synthetic import SceneConfig
from samjax.models import TINY
from samjax.training.config import Stage, TrainConfig
from samjax.training.losses import LossConfig
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
                    correction_points=2, refine_at_random=False, teach_all=True
                ),
            ),
            Stage(
                steps=30_000,
                image_size=512,
                batch_size=16,
                masks_per_image=16,
                prompts=PromptSimulationConfig(teach_all=True),
            ),
        ),
        losses=LossConfig(grouping_weight=1.0),
        optimizer=OptimizerConfig(
            peak_learning_rate=6e-4,
            warmup_steps=1000,
            schedule="cosine",
            weight_decay=0.05,
            layer_decay=1.0,
            clip_norm=1.0,
            matrices="muon",
            muon_rms=0.6,
        ),
        initialization="informed",
        ema_decay=0.9998,
        log_every=50,
        checkpoint_every=1000,
        evaluate_every=5000,
        picture_every=1000,
    )
