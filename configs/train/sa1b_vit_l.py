"""ViT-L on SA-1B, as in the paper's ablations (SAM, appendix A).

    samjax train configs/train/sa1b_vit_l.py --data.path /data/sa1b \
        --initial mae:mae_pretrain_vit_large.pth --out runs/sa1b_vit_l

Hardware: TPU v5e-128, one image a chip, parameters cut over 8 chips; or any other
devices: `--mesh.fsdp` has to divide them, and `--stages.0.accumulate` splits the batch
into microbatches where it does not fit.

Expected time, computed and not measured: a step is 2046 TFLOPs of the model (44 % of
them in the prompts' eleven rounds for 64 masks an image), 0.27 s on a v5e-128 at 30 %
utilisation, 13.5 hours for all steps. The utilisation is an assumption.

From the paper: batch of 128 images on 128 devices, up to 64 masks a device; 180k steps;
AdamW with weight decay 0.1, peak rate 4e-4; drop path 0.4; layer decay 0.8; the rest as
for ViT-H (`sa1b_vit_h.py`).

Not in the paper: where in 180k steps the rate falls (here at the fractions of ViT-H's,
steps 120k and 173,332), whether betas and warm-up are those of ViT-H, whether the
released weights are this model; and what `sa1b_vit_h.py` lists.

This run has not been made.
"""

from dataclasses import replace

from samjax.data.datasets import DatasetConfig
from samjax.models import VIT_L
from samjax.sharding import MeshConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def get_config() -> TrainConfig:
    """Returns the run."""
    return TrainConfig(
        model=replace(VIT_L, drop_path_rate=0.4, remat=True, scan=True),
        data=DatasetConfig(path="sa1b", largest_mask=0.9),
        stages=(
            Stage(
                steps=180_000,
                image_size=1024,
                batch_size=128,
                masks_per_image=64,
                prompts=PromptSimulationConfig(masks_at_a_time=16),
            ),
        ),
        optimizer=OptimizerConfig(
            peak_learning_rate=4e-4,
            warmup_steps=250,
            milestones=(60_000 / 90_000, 86_666 / 90_000),
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.1,
            layer_decay=0.8,
        ),
        mesh=MeshConfig(fsdp=8),
        dtype="bfloat16",
        log_every=50,
        checkpoint_every=1000,
        evaluate_every=5000,
        picture_every=1000,
    )
