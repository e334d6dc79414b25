"""The recipe of fine-tuning on few images: one place for all that train so.

`configs/train/finetune.py`, the rounds of the data engine and its simulation use it.
"""

from __future__ import annotations

from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig
from samjax.models.sam import SamConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig


def few_images_config(
    model: SamConfig,
    data: DatasetConfig | MixtureConfig,
    *,
    steps: int,
    batch_size: int = 2,
    correction_points: int = 2,
    box_probability: float = 0.5,
    remat: bool = True,
    learning_rate: float = 3e-4,
    seed: int = 0,
    log_every: int = 10,
    checkpoint_every: int = 100,
    evaluate_every: int | None = 100,
    picture_every: int | None = 100,
    tensorboard: bool = True,
) -> TrainConfig:
    """Returns a run that trains the mask decoder on a dataset of some ten images and more.

    Prompts take few rounds, all of which teach all masks: made for few steps. The image
    encoder is frozen, so that embeddings are computed once, if the data has no
    augmentation.

    Args:
        model: Sizes of the model, those of the initial weights.
        data: The dataset.
        steps: Optimizer steps.
        batch_size: Images of a step.
        correction_points: Rounds of prompts after the first.
        box_probability: Probability that the first prompt is a box, not a point.
        remat: Whether the decoder's activations are computed again in the backward pass;
            those of few masks fit into memory.
        learning_rate: Peak learning rate.
        seed: Seed of data and prompts.
        log_every: Steps between lines on the console.
        checkpoint_every: Steps between checkpoints.
        evaluate_every: Steps between calls of the evaluators; None for the end alone.
        picture_every: Steps between pictures; None for none.
        tensorboard: Whether to write TensorBoard files.
    """
    return TrainConfig(
        model=model,
        data=data,
        trainable="decoder",
        stages=(
            Stage(
                steps=steps,
                image_size=model.image_size,
                batch_size=batch_size,
                masks_per_image=8,
                prompts=PromptSimulationConfig(
                    correction_points=correction_points,
                    box_probability=box_probability,
                    refine_at_random=False,
                    refine_at_end=False,
                    teach_all=True,
                    remat=remat,
                ),
                resolution="logits",
            ),
        ),
        losses=LossConfig(rounds="mean"),
        optimizer=OptimizerConfig(
            peak_learning_rate=learning_rate,
            warmup_steps=min(10, steps),
            schedule="cosine",
            weight_decay=0.01,
            layer_decay=1.0,
            clip_norm=1.0,
        ),
        seed=seed,
        log_every=log_every,
        checkpoint_every=checkpoint_every,
        evaluate_every=steps if evaluate_every is None else evaluate_every,
        picture_every=picture_every,
        tensorboard=tensorboard,
    )
