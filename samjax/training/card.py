"""Model card of a training run: `MODEL_CARD.md` in its folder.

It has what the run knows (sizes, data, config, scores), and fields to fill for what only
its owner knows: licences, sources of the data, intended use. A card that was edited is
never replaced.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from samjax import __version__
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig
from samjax.files import is_own, json_text, mark_of, replacing, signed
from samjax.training.config import TrainConfig
from samjax.training.step import Params

CARD = "MODEL_CARD.md"
TO_FILL = "*to fill*"


def write_card(
    out: Path,
    config: TrainConfig,
    params: Params,
    *,
    initial: str | None = None,
    before: Mapping[str, float] | None = None,
) -> Path | None:
    """Writes the card of a finished run, unless its folder has one that was edited.

    Args:
        out: Folder of the run, whose metrics have the scores.
        config: The run.
        params: The trained parameters, adapters merged.
        initial: The initial weights, as `samjax train --initial` names them.
        before: Scores of the initial weights, by evaluator and score; empty if they were
            not measured.

    Returns:
        Path of the card; None if a file of that name was kept.

    Raises:
        OSError: The file cannot be written.
    """
    path = out / CARD
    if os.path.lexists(path) and not is_own(path, "card"):
        return None
    scores = read_scores(out / "metrics.jsonl", config.total_steps)
    text = card_text(out.resolve().name, config, params, initial, scores, before or {})
    with replacing(path) as hidden:
        hidden.write_text(signed(text, mark_of("card")), encoding="utf-8")
    return path


def read_scores(metrics: Path, step: int) -> dict[str, float]:
    """Returns the scores of the evaluators after a step, from a run's metrics.

    Args:
        metrics: `metrics.jsonl` of the run.
        step: The step.

    Returns:
        Scores by `EVALUATOR/SCORE`; without those that were not finite.
    """
    scores: dict[str, float] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["step"] == step:
            scores |= {
                name: value
                for name, value in record.items()
                if "/" in name and value is not None
            }
    return scores


def card_text(
    name: str,
    config: TrainConfig,
    params: Params,
    initial: str | None,
    scores: Mapping[str, float],
    before: Mapping[str, float],
) -> str:
    """Returns the card as Markdown.

    Args:
        name: Name of the model.
        config: Its run.
        params: Its parameters.
        initial: The initial weights; None for those of `config.initialization`.
        scores: Scores at the end, by `EVALUATOR/SCORE`.
        before: Scores of the initial weights, likewise.
    """
    sections = [
        f"# Model card: {name}",
        (
            f"Lines with {TO_FILL} are for its owner: replace them before the weights are "
            "passed on. samjax never replaces an edited card."
        ),
        _table(_model_rows(config, params, initial)),
        "## Intended use",
        f"What the model is for, and what it was not tried on: {TO_FILL}",
        "## Training data",
        _data(config),
        "## Scores",
        _scores(scores, before),
        "## Known failures",
        TO_FILL,
        "## Config",
        "```json\n" + json_text(config.identity(), indent=1, default=str) + "\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _model_rows(
    config: TrainConfig, params: Params, initial: str | None
) -> list[tuple[str, str]]:
    sizes = config.model
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    steps = " + ".join(
        f"{stage.steps:,} ({stage.describe()})" for stage in config.stages
    )
    grid = sizes.image_size // sizes.patch_size
    return [
        ("task", "promptable segmentation: masks from points, boxes and masks"),
        (
            "model",
            (
                f"{count:,} parameters; image encoder of {sizes.depth} blocks of "
                f"{sizes.embed_dim} channels, {sizes.image_size} x {sizes.image_size} pixels "
                f"in, a grid of {grid} x {grid}"
            ),
        ),
        ("initial weights", f"`{initial}`" if initial else config.initialization),
        ("licence of the initial weights", TO_FILL if initial else "none needed"),
        ("trained parameters", _trained(config)),
        ("steps", steps),
        ("precision", f"{config.dtype}, parameters float32"),
        ("seed", str(config.seed)),
        ("made with", f"samjax {__version__}, jax {jax.__version__}"),
        ("hardware", f"{jax.device_count()} x {jax.devices()[0].device_kind}"),
        ("owner", TO_FILL),
        ("licence of these weights", TO_FILL),
    ]


def _trained(config: TrainConfig) -> str:
    if not config.lora.rank:
        return f"`{config.trainable}`"
    return f"`{config.trainable}`, with adapters of rank {config.lora.rank}, merged"


def _data(config: TrainConfig) -> str:
    rows: list[tuple[str, ...]] = [("data", "format", "held out", "licence", "source")]
    rows += [
        (
            f"`{_path(part)}`",
            part.format,
            f"{part.validation_fraction:.0%}",
            TO_FILL,
            TO_FILL,
        )
        for part in _datasets(config)
    ]
    if config.data is None or isinstance(config.data, MixtureConfig):
        rows.append(("scenes drawn by samjax", "", "", "none needed", "samjax"))
    return _table(rows) + f"\n\nPeople in the images, and their consent: {TO_FILL}"


def _datasets(config: TrainConfig) -> list[DatasetConfig]:
    data = config.data
    if isinstance(data, DatasetConfig):
        return [data]
    parts = () if data is None else data.parts
    datasets = [dataset for part in parts for dataset in (part.data, part.textures)]
    return [dataset for dataset in datasets if dataset is not None]


def _path(data: DatasetConfig) -> str:
    return data.path if isinstance(data.path, str) else ", ".join(data.path)


def _scores(scores: Mapping[str, float], before: Mapping[str, float]) -> str:
    if not scores:
        return f"The run measured none: {TO_FILL}"
    head = ("score", "initial weights", "trained")
    rows = [
        (name, f"{before[name]:.3f}" if name in before else "", f"{value:.3f}")
        for name, value in scores.items()
    ]
    return (
        _table([head, *rows])
        + "\n\nOn the data that the run held out, or on drawn scenes: "
        + "`samjax evaluate` measures others, with intervals."
    )


def _table(rows: list[Any]) -> str:
    lines = [
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows
    ]
    rule = "|" + "---|" * len(rows[0])
    if len(rows[0]) == 2:
        return "\n".join(["| | |", rule, *lines])
    return "\n".join([lines[0], rule, *lines[1:]])
