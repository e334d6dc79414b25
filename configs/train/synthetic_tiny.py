"""The bundled model `tiny`, on drawn scenes, on a CPU.

    samjax train configs/train/synthetic_tiny.py --out runs/tiny

Nearly all of the steps are on small images with two rounds of prompts, where a mask is
cheapest; the last ones bring the model to its own size of 512 pixels and to the rounds
that it is used with. `synthetic_tiny_gpu.py` is the recipe without these savings.
"""

from samjax.data.synthetic import SceneConfig
from samjax.models import TINY
from samjax.training.config import Stage, TrainConfig
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def get_config() -> TrainConfig:
    """Returns the run."""
    click_and_correct = PromptSimulationConfig(
        correction_points=1, refine_at_random=False, refine_at_end=False, remat=False
    )
    several_clicks = PromptSimulationConfig(
        correction_points=3, refine_at_random=False, refine_at_end=True
    )
    return TrainConfig(
        model=TINY,
        scenes=SceneConfig(min_area=0.004, num_objects=8),
        stages=(
            Stage(
                steps=6000,
                image_size=128,
                batch_size=16,
                masks_per_image=6,
                prompts=click_and_correct,
            ),
            Stage(
                steps=1500,
                image_size=256,
                batch_size=4,
                masks_per_image=6,
                prompts=several_clicks,
            ),
            Stage(
                steps=600,
                image_size=512,
                batch_size=1,
                masks_per_image=8,
                prompts=several_clicks,
            ),
        ),
        losses=LossConfig(rounds="mean"),
        optimizer=OptimizerConfig(
            peak_learning_rate=1e-3,
            warmup_steps=200,
            schedule="cosine",
            beta2=0.98,
            weight_decay=0.05,
            layer_decay=1.0,
            clip_norm=1.0,
        ),
        ema_decay=0.998,
        log_every=25,
        checkpoint_every=250,
        evaluate_every=1000,
        picture_every=500,
    )
