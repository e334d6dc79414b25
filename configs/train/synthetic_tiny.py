"""The bundled model `tiny`, on drawn scenes, on a CPU.

    samjax train configs/train/synthetic_tiny.py --out runs/tiny

Some hours on two cores, most of it on crops with few rounds of prompts, where a mask
is cheapest: first plain scenes, where a mask is what has one colour, then scenes as
they are, and at the end the model's own size of 512 pixels. Crops, not small images: a
model that has seen whole scenes at 128 pixels has learned what positions mean at that
size, and at 512 reaches an IoU of 0.11 by a click on the smallest things; crops, with
finer frequencies, brought 0.35. What is drawn on a crop is larger in it, so that a patch
shows on average what it shows at full size.

What a short run from nothing needs beside SAM's recipe: an informed start, a loss on
the image embedding itself, Muon for matrices, and rounds that teach every mask token.
Its learning rate matters more than anything else: at 1.5e-3 the noise of batches of 8
images held the IoU of plain scenes at 0.30, where 3e-4 got to 0.44 within 50 steps.
Even so the parameters of a step are noisier than their moving average, which is some
0.05 better; judge a run by its end, or by its evaluations, which use the average.

To go on from the weights in the package: `--initial tiny --stages.0.steps 1
--stages.1.steps 1` and a lower rate; docs/training.md has such a run. On Linux a tenth
of the time goes into fresh pages of memory that the allocator gives back after every
step; it keeps them with

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
THREE_ROUNDS = replace(ONE_ROUND, correction_points=2)
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
# As small, in pixels, as the smallest things of whole scenes.
IN_128_PIXELS = SceneConfig(
    num_objects=8, min_objects=2, min_scale=0.1, max_scale=0.8, min_area=0.0096
)
IN_256_PIXELS = SceneConfig(
    num_objects=12, min_objects=3, min_scale=0.05, max_scale=0.8, min_area=0.0024
)


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
        crops=image_size < TINY.image_size,
        scenes=scenes,
    )


def get_config() -> TrainConfig:
    """Returns the run."""
    return TrainConfig(
        model=TINY,
        stages=(
            stage(800, 128, 8, ONE_ROUND, PLAIN_SCENES),
            stage(6000, 128, 8, TWO_ROUNDS, IN_128_PIXELS),
            stage(1500, 256, 2, THREE_ROUNDS, IN_256_PIXELS),
            stage(300, 512, 1, FOUR_ROUNDS),
        ),
        losses=LossConfig(rounds="mean", grouping_weight=1.0),
        optimizer=OptimizerConfig(
            peak_learning_rate=4e-4,
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
