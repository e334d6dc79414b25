"""ViT-H on SA-1B, as the paper trained its default model (SAM, appendix A).

    samjax train configs/train/sa1b_vit_h.py --data.path /data/sa1b \
        --initial mae:mae_pretrain_vit_huge.pth --out runs/sa1b_vit_h

Hardware: TPU v5e-256, one image a chip, parameters cut over 16 chips; or any other
devices: `--mesh.fsdp` has to divide them, and `--stages.0.accumulate` splits the batch
into microbatches where it does not fit.

Expected time, computed and not measured: a step is 6376 TFLOPs of the model (28 % of
them in the prompts' eleven rounds for 64 masks an image), 0.42 s on a v5e-256 at 30 %
utilisation, 10.5 hours for all steps. The utilisation is an assumption. The paper took
68 hours on 256 A100s: by the same count 2.9 % of what these can do in bfloat16.

From the paper: batch of 256 images, one a device, up to 64 masks a device; 90k steps;
AdamW with betas 0.9 and 0.999, weight decay 0.1, peak rate 8e-4 after a warm-up of 250
steps, a tenth from step 60k and again from 86,666; drop path 0.4; layer decay 0.8; no
augmentation; masks of more than 90 % of an image left out; losses 20 focal + 1 dice,
and squared error of the IoU; eleven rounds of prompts; started from the masked
autoencoder ViT-H.

Not in the paper, and chosen here: bfloat16; no clipping and no moving average; weight
decay of everything but norms, biases and position tables; the layers that the decay
counts (those of ViTDet); the focal loss's alpha 0.25 and gamma 2, dice's smoothing 1,
both losses on masks of 1024 x 1024, their sum over the rounds, and their mean over the
masks of the whole batch (these as in the training code of SAM 2); that no gradient
passes the mask that is fed back; what 20 pixels of box noise limit. docs/training.md
has the fields that change them.

This run has not been made.
"""

from dataclasses import replace

from samjax.data.datasets import DatasetConfig
from samjax.models import VIT_H
from samjax.sharding import MeshConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def get_config() -> TrainConfig:
    """Returns the run."""
    return TrainConfig(
        model=replace(VIT_H, drop_path_rate=0.4, remat=True, scan=True),
        data=DatasetConfig(path="sa1b", largest_mask=0.9),
        stages=(
            Stage(
                steps=90_000,
                image_size=1024,
                batch_size=256,
                masks_per_image=64,
                prompts=PromptSimulationConfig(masks_at_a_time=16),
            ),
        ),
        optimizer=OptimizerConfig(
            peak_learning_rate=8e-4,
            warmup_steps=250,
            milestones=(60_000 / 90_000, 86_666 / 90_000),
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.1,
            layer_decay=0.8,
        ),
        mesh=MeshConfig(fsdp=16),
        dtype="bfloat16",
        log_every=50,
        checkpoint_every=1000,
        evaluate_every=5000,
        picture_every=1000,
    )
