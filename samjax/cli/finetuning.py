"""What `samjax train` does for runs that start from weights, on a dataset of the user's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samjax.cli.arguments import value_of

if TYPE_CHECKING:
    from samjax.models import SamConfig
    from samjax.training.config import TrainConfig
    from samjax.training.loop import Evaluator
    from samjax.training.sources import SourceFactory


def initial_of(arguments: list[str]) -> str | None:
    """Finds `--initial` among words, which says the sizes of a config's model."""
    return value_of("--initial", arguments)


def sizes_of(initial: str) -> SamConfig:
    """Returns the sizes of weights, of which only names and shapes are read.

    Raises:
        CheckpointError: There are no such weights.
    """
    from samjax.checkpoints.loading import locate
    from samjax.checkpoints.reader import open_checkpoint

    return open_checkpoint(locate(initial)).config


def print_start(evaluators: Mapping[str, Evaluator], params: Any) -> None:
    """Says what weights score before they are trained any further."""
    from samjax.training.meter import format_scalars

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
    from samjax.training.embedded import EmbeddedSource, can_be_embedded
    from samjax.training.sources import make_source

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
    from samjax.training.trained_file import save_trained

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
