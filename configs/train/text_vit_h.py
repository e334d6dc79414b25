"""Text prompts for ViT-H on SA-1B, as the paper's proof of concept (SAM, appendix D.5).

    samjax train configs/train/text_vit_h.py --data.path /data/sa1b \
        --initial vit_h --text.sidecar vectors --out runs/text_vit_h

Hardware: TPU v5e-256, as for sa1b_vit_h.py.

From the paper: the vector of CLIP's ViT-L/14 at 336 pixels, of length 1, of a crop around
each mask as its first prompt, and points after it; the box grown by 1 to 2 and made a
square; half of the crops with a zeroed background; attention inside of the mask in the
last layer; masks of at least 100 x 100 pixels; 120k iterations of 128 images.

Not in the paper, and chosen here: initial weights are the released ViT-H, and its image
encoder is frozen; the projection is one linear layer with a bias; every first prompt is a
text; four crops of a mask are embedded once, in place of a new one each step; the area
is counted at 1024 pixels; no large-scale jitter. SA-1B has the masks of the paper's third
stage alone, and the paper used those of the first two, which are not public.

This run has not been made. CLIP's crops cost four times SAM's own work in the first epoch
(191 GMAC a crop): `--text-vectors 0/100` and so on embed them before, each a share of the
tars. Vectors of 16 masks of each of a million images are 0.1 TB.
"""

from samjax.data.datasets import DatasetConfig
from samjax.models import VIT_H
from samjax.models.clip import CLIP_VIT_L14_336
from samjax.sharding import MeshConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.text.config import TextTraining
from samjax.training.text.initial import with_text


def get_config() -> TrainConfig:
    """Returns the run."""
    return TrainConfig(
        model=with_text(VIT_H, CLIP_VIT_L14_336),
        data=DatasetConfig(path="sa1b", largest_mask=0.9),
        text=TextTraining(clip="clip_vit_l14_336"),
        trainable="decoder_and_prompts",
        stages=(
            Stage(
                steps=120_000,
                image_size=1024,
                batch_size=128,
                masks_per_image=16,
                prompts=PromptSimulationConfig(masks_at_a_time=16),
            ),
        ),
        optimizer=OptimizerConfig(peak_learning_rate=8e-5, warmup_steps=250),
        mesh=MeshConfig(fsdp=16),
        dtype="bfloat16",
        log_every=50,
        checkpoint_every=1000,
        evaluate_every=5000,
        picture_every=None,
    )
