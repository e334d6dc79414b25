"""The model `small` again, on crops: where a box ends, and small objects.

    samjax train configs/train/small_crops.py --initial small --out runs/small_crops

After `small.py`. A seventh of the area of masks for held-out boxes was outside of the
box, a quarter for small objects: positions of prompts are learned from many prompts, not
from many photos. On crops of half the model's side, a quarter of its tokens,
a prompt costs a quarter; the image encoder's blocks are frozen, so that the neck, the
prompt encoder and the mask decoder alone are trained. Photos are resized to the scale at
which the model sees them whole and larger.

For two cores of a CPU: batches of 12, two rounds of prompts, in bfloat16
(`tools/train_amx.py`).
"""

import runpy
from dataclasses import replace
from pathlib import Path

from samjax.training.config import Stage, TrainConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def get_config() -> TrainConfig:
    """Returns the run."""
    # Configs are files, not a package.
    run = runpy.run_path(str(Path(__file__).with_name("small.py")))["get_config"]()
    data = replace(
        run.data,
        parts=tuple(
            part
            if part.data is None
            else replace(
                part,
                # Scales over a frame of half the model's side.
                data=replace(part.data, jitter=(1.3, 3.0), smallest_mask=120),
            )
            for part in run.data.parts
        ),
    )
    return replace(
        run,
        data=data,
        stages=(
            Stage(
                steps=700,
                image_size=run.model.image_size // 2,
                crops=True,
                batch_size=12,
                masks_per_image=8,
                repeat_masks=True,
                resolution="logits",
                prompts=PromptSimulationConfig(
                    correction_points=1,
                    refine_at_random=False,
                    refine_at_end=False,
                    teach_all=True,
                    remat=False,
                ),
            ),
        ),
        trainable="neck_and_decoder",
        optimizer=OptimizerConfig(
            peak_learning_rate=6e-4,
            warmup_steps=50,
            schedule="cosine",
            final_fraction=0.05,
            beta2=0.98,
            weight_decay=0.05,
            clip_norm=1.0,
            matrices="muon",
            muon_rms=0.4,
        ),
        ema_decay=0.99,
        checkpoint_every=50,
        evaluate_every=10_000,
        picture_every=None,
        tensorboard=False,
    )
