"""What `samjax train` does for runs that start from weights, on a dataset of the user's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samjax.data.datasets import DatasetConfig
    from samjax.evaluation.report import Report
    from samjax.models import SamConfig
    from samjax.training.config import TrainConfig
    from samjax.training.loop import Evaluator
    from samjax.training.runtime.sources import SourceFactory


def initial_of(arguments: list[str]) -> str | None:
    """Finds `--initial` among words, which says the sizes of a config's model."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if word == "--initial":
            return following or None
        if word.startswith("--initial="):
            return word.partition("=")[2]
    return None


def sizes_of(initial: str) -> SamConfig:
    """Returns the sizes of weights, of which only names and shapes are read.

    Raises:
        CheckpointError: There are no such weights.
    """
    from samjax.checkpoints.loading import locate
    from samjax.checkpoints.reader import open_checkpoint

    return open_checkpoint(locate(initial)).config


def held_out_evaluators(config: TrainConfig, images: int) -> dict[str, Evaluator]:
    """Makes the evaluators of the parts of datasets that are held out, where there are.

    Args:
        config: The run.
        images: Most images to look at, of each dataset; 0 for no evaluation.

    Returns:
        `held_out`; for a mixture `held_out_0` of its first part, and so on.
    """
    from samjax.data.mixture import MixtureConfig

    if isinstance(config.data, MixtureConfig):
        datasets = {
            f"held_out_{number}": part.data
            for number, part in enumerate(config.data.parts)
        }
    else:
        datasets = {"held_out": config.data}
    return {
        name: _held_out_evaluator(config, data, images)
        for name, data in datasets.items()
        if data is not None and data.validation_fraction and images > 0
    }


def _held_out_evaluator(
    config: TrainConfig, data: DatasetConfig, images: int
) -> Evaluator:
    import jax.numpy as jnp

    from samjax.data.datasets import open_examples
    from samjax.evaluation.examples import evaluate_examples
    from samjax.inference import Predictor
    from samjax.models import Sam

    model = Sam(config.model, jnp.dtype(config.dtype).type)
    held_out = open_examples(data, "validation")

    def evaluate(params: Any) -> Mapping[str, float]:
        report: Report = evaluate_examples(
            Predictor(model, params), held_out, images=images, show_progress=False
        )
        return report.scores

    return evaluate


def print_start(evaluators: Mapping[str, Evaluator], params: Any) -> None:
    """Says what weights score before they are trained any further."""
    from samjax.training.runtime.meter import format_scalars

    for name, evaluate in evaluators.items():
        scores = {f"{name}/{key}": value for key, value in evaluate(params).items()}
        print(f"before  {format_scalars(scores)}", file=sys.stdout, flush=True)


def sources_of(config: TrainConfig, params: Any) -> SourceFactory:
    """Says where batches come from: with embeddings that are kept, where that is right.

    Args:
        config: The run.
        params: The weights that it starts from; None for fresh ones.
    """
    import jax.numpy as jnp

    from samjax.models import Sam
    from samjax.training.finetune.cached_embeddings import (
        EmbeddedSource,
        can_be_embedded,
    )
    from samjax.training.runtime.sources import make_source

    if params is None or not can_be_embedded(config):
        return make_source

    model = Sam(config.model, jnp.dtype(config.dtype).type)

    def make_embedded(config, stage, part=0, parts=1) -> Any:
        source: Any = make_source(config, stage, part, parts)
        return EmbeddedSource(source, model, params)

    return make_embedded


def save_what_changed(
    out: Path,
    config: TrainConfig,
    adapted: Any,
    initial: str | None,
    *,
    overwrite: bool = False,
) -> Path | None:
    """Saves the trained part of a run that did not train all; returns its file.

    Args:
        out: Folder of the run.
        config: The run.
        adapted: Its parameters at the end, adapters beside them.
        initial: The weights that it started from.
        overwrite: Whether a file there is replaced that is no trained part.
    """
    if config.trainable == "all" or initial is None:
        return None
    from samjax.training.finetune.delta_file import save_trained

    path = out / "trained.safetensors"
    save_trained(
        path,
        adapted,
        trainable=config.trainable,
        lora=config.lora,
        base=initial,
        overwrite=overwrite,
    )
    return path
