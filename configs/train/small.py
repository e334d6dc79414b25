"""The bundled model `small` on photos, from a DINOv2 ViT-S and a trained mask decoder.

    python tools/dinov2_from_onnx.py dinov2-small
    samjax train configs/train/small.py --initial dinov2:dinov2-small \\
        --initial-decoder tiny --out runs/small

The photos are sets in COCO's form, a folder each, side by side in the folder that
`SAMJAX_PHOTOS` names (`photos` without it). Weights of the sets are by variety, not by
number of masks: half of the examples are COCO's, where a mask is of one of eighty kinds
of things, and the thousands of masks of mushrooms and windows are a tenth together.
Photos under share-alike licences are left out.

A round of pseudo-labels (`samjax data label`, docs/pseudo_labels.md) adds its labels: the folder
that `SAMJAX_PSEUDO_LABELS` names has a file for each set, `coco_permissive.json` and so
on, and the photos are those of the set. A mask of theirs adds half as much to the loss.

The features of photos are DINOv2's; the run trains boundaries between objects. The
encoder is trained at a fraction of the learning rate of neck and decoder
(`encoder_rate`), its lower blocks at less.

For a GPU: batches of 32, four rounds of prompts, in bfloat16. This run has not been made;
docs/models.md says how the weights in the package were, on two cores of a CPU.
"""

import os
from pathlib import Path

from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.data.synthetic import SceneConfig
from samjax.models import SMALL
from samjax.training.config import Stage, TrainConfig
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

SHARE_ALIKE = ("5", "CC BY-SA")

WEIGHTS = {
    "coco_permissive": 6.0,
    "facades": 1.0,
    "balloons": 0.6,
    "mushrooms": 0.5,
    "bottles": 0.3,
    "seedlings": 0.25,
    "components": 0.2,
    "boards": 0.2,
    "pine_trees": 0.15,
}

# Sets whose photos have no masks, or have some without; the masks are a model's.
PSEUDO_WEIGHTS = {
    "coco_permissive": 2.0,
    "openimages_photos": 1.0,
    "photos_unlabelled": 0.5,
}
PSEUDO_LOSS_WEIGHT = 0.5


def photos(name: str, labels: Path | None = None) -> DatasetConfig:
    """Returns a set of photos, with their augmentation.

    Args:
        name: Name of the set.
        labels: File of its masks; None for the one in the set.
    """
    folder = Path(os.environ.get("SAMJAX_PHOTOS", "photos")) / name
    return DatasetConfig(
        path=str(labels or folder),
        images=str(folder) if labels else None,
        format="coco",
        exclude_licences=SHARE_ALIKE,
        flip=True,
        jitter=(0.75, 2.0),
        colour_jitter=0.3,
        greyscale=0.05,
        copy_paste=0.3,
        smallest_mask=200,
    )


def pseudo_labels() -> list[MixturePart]:
    """Returns the labels of a round; none where no folder of labels is named.

    Raises:
        ValueError: The folder has no labels of a set.
    """
    if not (named := os.environ.get("SAMJAX_PSEUDO_LABELS")):
        return []
    files = {name: Path(named) / f"{name}.json" for name in PSEUDO_WEIGHTS}
    existing = {name: file for name, file in files.items() if file.is_file()}
    if not existing:
        raise ValueError(
            f"SAMJAX_PSEUDO_LABELS={named}: got no file of labels, expected one of "
            f"{', '.join(file.name for file in files.values())}: write them with "
            "samjax data label"
        )
    return [
        MixturePart(
            data=photos(name, file),
            weight=PSEUDO_WEIGHTS[name],
            loss_weight=PSEUDO_LOSS_WEIGHT,
        )
        for name, file in existing.items()
    ]


def get_config() -> TrainConfig:
    """Returns the run."""
    parts = [MixturePart(data=photos(name), weight=w) for name, w in WEIGHTS.items()]
    parts += pseudo_labels()
    parts.append(MixturePart(scenes=SceneConfig(), weight=1.0))
    return TrainConfig(
        model=SMALL,
        data=MixtureConfig(parts=tuple(parts)),
        stages=(
            Stage(
                steps=10_000,
                image_size=SMALL.image_size,
                batch_size=32,
                masks_per_image=8,
                resolution="logits",
                prompts=PromptSimulationConfig(
                    correction_points=3,
                    refine_at_random=False,
                    refine_at_end=False,
                    teach_all=True,
                ),
            ),
        ),
        losses=LossConfig(
            rounds="mean", iou_weight=4.0, iou_supervision="all", grouping_weight=1.0
        ),
        optimizer=OptimizerConfig(
            peak_learning_rate=4e-4,
            warmup_steps=100,
            schedule="cosine",
            final_fraction=0.02,
            beta2=0.98,
            weight_decay=0.05,
            layer_decay=0.8,
            encoder_rate=0.15,
            clip_norm=1.0,
        ),
        dtype="bfloat16",
        ema_decay=0.995,
        checkpoint_every=500,
        evaluate_every=1000,
    )
