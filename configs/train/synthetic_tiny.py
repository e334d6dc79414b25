"""The bundled model `tiny`, on drawn scenes, on a CPU.

    samjax train configs/train/synthetic_tiny.py --out runs/tiny

Some hours on two cores, most of it on small images with few rounds of prompts, where a
mask is cheapest: first plain scenes, where a mask is what has one colour, then scenes
as they are, and at the end the model's own size of 512 pixels. What is drawn on small
images is larger in them, so that a patch shows on average what it shows at full size.

What a short run from nothing needs beside SAM's recipe: an informed start, a loss on
the image embedding itself, Muon for matrices, and rounds that teach every mask token.
Its learning rate matters more than anything else: at five times this one the noise of
batches of 8 images holds the IoU of plain scenes at 0.30, where this one gets to 0.44
within 50 steps.

To go on from the weights in the package: `--initial tiny --stages.0.steps 1`. On Linux
a tenth of the time goes into fresh pages of memory that the allocator gives back after
every step; it keeps them with

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:\
    glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456

`synthetic_tiny_gpu.py` is the recipe without these savings.
"""

from dataclasses import replace

from samjax.data.synthetic import SceneConfig
from samjax.models import TINY
from samjax.training.config import Stage, TrainConfig
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

ONE_ROUND = PromptSimulationConfig(
    correction_points=0,
    refine_at_random=False,
    refine_at_end=False,
    teach_all=True,
    remat=False,
)
TWO_ROUNDS = replace(ONE_ROUND, correction_points=1)
FOUR_ROUNDS = replace(ONE_ROUND, correction_points=3, remat=True)

PLAIN_SCENES = SceneConfig(
    num_objects=5,
    min_objects=2,
    max_parts=1,
    min_scale=0.12,
    max_scale=0.6,
    min_area=0.015,
    camouflage=0.0,
    repetition=0.0,
    camera=False,
)
FEW_LARGE_THINGS = SceneConfig(
    num_objects=8, min_objects=2, min_scale=0.06, max_scale=0.7, min_area=0.006
)
LARGE_THINGS = SceneConfig(min_scale=0.04, max_scale=0.6, min_area=0.002)


def stage(
    steps: int,
    image_size: int,
    batch_size: int,
    prompts: PromptSimulationConfig,
    scenes: SceneConfig | None = None,
) -> Stage:
    """A stretch of the run; what all of them share is here."""
    return Stage(
        steps=steps,
        image_size=image_size,
        batch_size=batch_size,
        masks_per_image=8,
        prompts=prompts,
        resolution="logits",
        scenes=scenes,
    )


def get_config() -> TrainConfig:
    """Returns the run."""
    return TrainConfig(
        model=TINY,
        stages=(
            stage(800, 128, 8, ONE_ROUND, PLAIN_SCENES),
            stage(4000, 128, 8, TWO_ROUNDS, FEW_LARGE_THINGS),
            stage(1000, 256, 2, FOUR_ROUNDS, LARGE_THINGS),
            stage(300, 512, 1, FOUR_ROUNDS),
        ),
        losses=LossConfig(rounds="mean", grouping_weight=1.0),
        optimizer=OptimizerConfig(
            peak_learning_rate=3e-4,
            warmup_steps=50,
            schedule="linear",
            final_fraction=0.05,
            beta2=0.98,
            weight_decay=0.05,
            layer_decay=1.0,
            clip_norm=1.0,
            matrices="muon",
            muon_rms=0.6,
        ),
        initialization="informed",
        ema_decay=0.98,
        log_every=25,
        checkpoint_every=250,
        evaluate_every=1000,
        picture_every=500,
    )
