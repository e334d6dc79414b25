"""Evaluators of training runs: scores on held-out images or drawn scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samjax.data.datasets import DatasetConfig
    from samjax.models import Sam
    from samjax.training.config import TrainConfig
    from samjax.training.loop import Evaluator


def evaluators_of(
    config: TrainConfig, model: Sam, *, scenes: int, images: int
) -> dict[str, Evaluator]:
    """Returns the evaluators of a run.

    Args:
        config: The run.
        model: Its model.
        scenes: Drawn scenes to evaluate on, for runs without a dataset; 0 for none.
        images: Most images of those that each dataset holds out; 0 for none.

    Returns:
        `held_out`; for a mixture `held_out_0` for its first part, and so on.
    """
    from samjax.data.mixture import MixtureConfig

    if config.data is None:
        return {"held_out": _on_scenes(model, scenes)} if scenes > 0 else {}
    if isinstance(config.data, MixtureConfig):
        parts = {
            f"held_out_{index}": part.data
            for index, part in enumerate(config.data.parts)
        }
    else:
        parts = {"held_out": config.data}
    return {
        name: _on_held_out_images(model, data, images)
        for name, data in parts.items()
        if data is not None and data.validation_fraction and images > 0
    }


def _on_scenes(model: Sam, scenes: int) -> Evaluator:
    from samjax.evaluation.single_point import evaluate_scenes
    from samjax.inference import Predictor

    def evaluate(params: Any) -> Mapping[str, float]:
        predictor = Predictor(model, params)
        report = evaluate_scenes(predictor, num_scenes=scenes, show_progress=False)
        return report.scores

    return evaluate


def _on_held_out_images(model: Sam, data: DatasetConfig, images: int) -> Evaluator:
    from samjax.data.datasets import open_examples
    from samjax.evaluation.examples import evaluate_examples
    from samjax.inference import Predictor

    held_out = open_examples(data, "validation")

    def evaluate(params: Any) -> Mapping[str, float]:
        report = evaluate_examples(
            Predictor(model, params), held_out, images=images, show_progress=False
        )
        return report.scores

    return evaluate
