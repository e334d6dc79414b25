"""Prompt encoder and mask decoder of `small`, trained further with a frozen image encoder.

    samjax train configs/train/small_decoder.py --initial small --out runs/small_decoder --resume

No image is augmented, so that each is embedded once and a step is the decoder's alone.
Half of the examples are the photos of `small.py`. The image encoder was trained on their
masks, so that the first mask is nearly right there, and the decoder learns neither to
keep to a box nor to follow corrections. The other half are drawn scenes, most of them
filled with textures of photos, which the encoder does not know.
"""

import runpy
from dataclasses import replace
from pathlib import Path

from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.data.synthetic import SceneConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def get_config() -> TrainConfig:
    """Returns the run."""
    # Configs are files, not a package.
    recipe = runpy.run_path(str(Path(__file__).with_name("small.py")))
    run = recipe["get_config"]()
    photos = [
        replace(part, data=_plain(part.data)) for part in run.data.parts if part.data
    ]
    weight = sum(part.weight for part in photos)
    unlabelled = replace(_plain(recipe["photos"]("openimages_photos")), unlabelled=True)
    scenes = [
        MixturePart(scenes=SceneConfig(), num_scenes=100, weight=weight / 4),
        MixturePart(
            scenes=SceneConfig(),
            num_scenes=300,
            textures=unlabelled,
            weight=3 * weight / 4,
        ),
    ]
    return replace(
        run,
        data=MixtureConfig(parts=(*photos, *scenes)),
        trainable="decoder_and_prompts",
        stages=(
            Stage(
                steps=1_500,
                image_size=run.model.image_size,
                batch_size=2,
                masks_per_image=16,
                repeat_masks=True,
                resolution="logits",
                prompts=PromptSimulationConfig(
                    correction_points=2,
                    refine_at_random=False,
                    refine_at_end=False,
                    teach_all=True,
                ),
            ),
        ),
        losses=replace(run.losses, grouping_weight=0.0),
        optimizer=OptimizerConfig(
            peak_learning_rate=3e-4,
            warmup_steps=50,
            schedule="cosine",
            final_fraction=0.02,
            beta2=0.98,
            weight_decay=0.05,
            layer_decay=1.0,
            clip_norm=1.0,
        ),
        dtype="float32",
        checkpoint_every=100,
        evaluate_every=1_500,
    )


def _plain(data: DatasetConfig) -> DatasetConfig:
    """Returns a dataset without augmentation: its embeddings can be cached."""
    return replace(
        data, flip=False, jitter=None, colour_jitter=0.0, greyscale=0.0, copy_paste=0.0
    )
