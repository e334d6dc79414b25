"""Evaluators of training runs: the suites of `samjax evaluate` on held-out data."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samjax.evaluation.suite import Suite
    from samjax.models import Sam
    from samjax.training.config import TrainConfig
    from samjax.training.loop import Evaluator


@dataclasses.dataclass(frozen=True)
class SuiteEvaluator:
    """A suite as an evaluator: parameters to scores.

    Attributes:
        suite: The suite.
        model: The model that parameters are of.
    """

    suite: Suite
    model: Sam

    def __call__(self, params: Any) -> Mapping[str, float]:
        """Evaluates parameters, and warns of data that cannot be used."""
        from samjax.data.problems import summary
        from samjax.evaluation.segmenter import PredictorSegmenter
        from samjax.evaluation.suite import evaluate
        from samjax.inference import Predictor

        skipped = []
        result = evaluate(
            self.suite,
            PredictorSegmenter(Predictor(self.model, params)),
            on_skipped=skipped.append,
        )
        if skipped:
            problems = summary([part.detail for part in skipped])
            warnings.warn(
                f"{len(skipped)} of {len(self.suite)} examples are damaged and not "
                f"evaluated: {problems}",
                stacklevel=2,
            )
        return result.scores


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
    suites = _suites(config, scenes, images)
    return {name: SuiteEvaluator(suite, model) for name, suite in suites.items()}


def _suites(config: TrainConfig, scenes: int, images: int) -> dict[str, Suite]:
    from samjax.data.datasets import open_examples
    from samjax.data.mixture import MixtureConfig
    from samjax.evaluation.suites.single_point import held_out_suite, scene_suite

    if config.data is None:
        if scenes <= 0:
            return {}
        return {"held_out": scene_suite(scenes, config.model.image_size)}
    if isinstance(config.data, MixtureConfig):
        parts = {
            f"held_out_{index}": part.data
            for index, part in enumerate(config.data.parts)
        }
    else:
        parts = {"held_out": config.data}
    return {
        name: held_out_suite(open_examples(data, "validation"), images=images)
        for name, data in parts.items()
        if data is not None and data.validation_fraction and images > 0
    }
