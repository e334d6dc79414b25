"""Any SAM on a dataset of your own, of ten images to some thousands.

    samjax train configs/train/finetune.py --data.path my_data --initial vit_b

On a CPU, with `tiny`: some six minutes on two cores for the 200 steps, which brought
drawn cells from 0.62 to 0.68 IoU by a click and from 0.73 to 0.79 by three
(docs/finetuning.md); on a GPU it has not been run yet.

    samjax train configs/train/finetune.py --data.path cells --initial tiny \\
        --stages.0.batch-size 1 --stages.0.prompts.correction-points 1 \\
        --stages.0.prompts.no-remat

`--data.format` is `folder` (images/ and masks/), `coco` (a JSON file of instances) or
`npz` (MedSAM's files); docs/finetuning.md has their layouts. A fifth of the images is
held out, and the IoU on it from clicks and from a box is printed before the first step
and at the end. The sizes of the model are those of `--initial`.

The mask decoder is trained: the image encoder runs forward only, and without flip and
jitter its embeddings are computed once and cached. Further options, in the order in
which to try them:

    --trainable adapters --lora.rank 8       low-rank adapters in the encoder alone
    --lora.rank 8                            beside the decoder
    --trainable decoder_and_prompts          the prompt encoder too
    --trainable all --optimizer.peak-learning-rate 1e-5 --optimizer.layer-decay 0.8

More images want more steps: `--stages.0.steps 2000` from about a hundred images on.
`--data.limit 10` trains on ten images, with the same ones held out.
"""

from samjax.data.datasets import DatasetConfig
from samjax.models import TINY, SamConfig
from samjax.training.config import TrainConfig
from samjax.training.finetune.recipe import few_images_config


def get_config(model: SamConfig = TINY) -> TrainConfig:
    """Returns the run.

    Args:
        model: Sizes of the model, those of `--initial`.
    """
    return few_images_config(
        model,
        DatasetConfig(
            path="dataset",
            format="folder",
            validation_fraction=0.2,
            # One unreadable image of twenty is already a twentieth.
            max_bad_fraction=0.1,
        ),
        steps=200,
    )
