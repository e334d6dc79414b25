"""The simulated loop: annotate, snapshot, fine-tune, evaluate, and again.

Every step leaves a file or a folder that is written last, so that a loop that was stopped
goes on where it was and ends with the same result.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from samjax import checkpoints
from samjax.data.datasets import DatasetConfig
from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.calibration import threshold_for_precision
from samjax.engine.marked_json import read_json, write_json
from samjax.engine.rounds.comparing import compare_models
from samjax.engine.simulation.annotating import (
    Clock,
    RoundContext,
    annotate_round,
    masks_of,
)
from samjax.engine.simulation.config import SimulationConfig
from samjax.engine.simulation.drawn import gold_scene, scene_to_annotate
from samjax.engine.simulation.scores import round_scores
from samjax.engine.snapshot import write_snapshot
from samjax.files import is_own, json_object, json_text, locked
from samjax.inference import Predictor
from samjax.inference.embedding import weights_fingerprint
from samjax.models import Sam
from samjax.models.params import MASK_DECODER
from samjax.training.finetune.recipe import few_images_config
from samjax.training.launch import WEIGHTS, launch

START = datetime(2026, 1, 1, tzinfo=UTC)
PAPER = {"seconds_per_mask": [34.0, 14.0], "masks_per_image": [20.0, 44.0, 72.0]}
"""The paper's figures (SAM, section 4): seconds a mask and masks an image at the beginning
and the end of its first stage, and masks an image at the end of its second."""


Show = Callable[[str], None]
"""Shows one line about a step of the loop."""


def simulate(
    model: Sam,
    params: Mapping[str, Any],
    out: Path,
    config: SimulationConfig,
    show: Show = lambda text: None,
) -> dict[str, Any]:
    """Runs the data engine with a simulated annotator on drawn scenes.

    Args:
        model: The first model.
        params: Its parameters, to which `config.weaken` adds noise.
        out: Folder of the loop; made if missing. A loop in it goes on.
        config: Sizes of the loop.
        show: Called with a line for every step.

    Returns:
        The content of `out/result.json`: `rounds`, each with `seconds_per_mask`,
        `clicks_per_mask`, `masks_per_image`, `audit_share_over_90` and others
        (`scores.round_scores`), `config`, the paper's figures, and versions.

    Raises:
        ValueError: `out` has a loop of another config or another first model.
        WouldReplace: `out` has files of these names that samjax did not write.
        InUse: Another process runs the loop in `out`.
        OSError: A file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"the folder {out} of a simulation"):
        identity = {
            "config": dataclasses.asdict(config),
            "model": weights_fingerprint(model.config, params),
        }
        _check_identity(out / "config.json", identity)
        weights = out / "models" / "00.safetensors"
        if not weights.exists():
            weights.parent.mkdir(exist_ok=True)
            weakened = weaken(params, config.weaken, config.seed)
            checkpoints.save(weights, model.config, weakened)
        rounds: list[dict[str, Any]] = []
        for number in range(1, config.rounds + 1):
            rounds.append(_round(number, out, config, rounds, show))
        result = {
            "rounds": rounds,
            "paper": PAPER,
            **identity,
            "versions": {
                "jax": jax.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
        write_json(out / "result.json", result)
    return result


def weaken(params: Mapping[str, Any], strength: float, seed: int) -> dict[str, Any]:
    """Adds noise to the mask decoder.

    Args:
        params: The parameters.
        strength: Deviation of the noise, relative to that of each array.
        seed: Seed of the noise.
    """
    rng = np.random.default_rng([seed, 1])

    def noisy(array: Any) -> np.ndarray:
        array = np.asarray(array, np.float32)
        noise = rng.standard_normal(array.shape).astype(np.float32)
        return array + strength * array.std() * noise

    decoder = jax.tree.map(noisy, dict(params[MASK_DECODER]))
    return {**params, MASK_DECODER: decoder}


def _check_identity(path: Path, identity: dict[str, Any]) -> None:
    # As JSON has it, where tuples are lists.
    expected = json_object(json_text(identity))
    if path.exists() and is_own(path, "engine") and read_json(path) != expected:
        raise ValueError(
            f"{path.parent} has a simulation of another config or first model: continue "
            "it with its own options, or give another folder"
        )
    write_json(path, identity)


def _round(
    number: int,
    out: Path,
    config: SimulationConfig,
    before: list[dict[str, Any]],
    show: Show,
) -> dict[str, Any]:
    folder = out / "rounds" / f"{number:02d}"
    result_file = folder / "result.json"
    if result_file.exists():
        return read_json(result_file)
    name = before[-1]["next_model"] if before else "models/00.safetensors"
    model, params = checkpoints.load(out / name)
    predictor = Predictor(model, params)
    stage = 2 if number == config.rounds and number > 1 else 1
    threshold = before[-1]["threshold"] if stage == 2 else None
    context = RoundContext(
        number=number,
        stage=stage,
        predictor=predictor,
        fingerprint=weights_fingerprint(model.config, params),
        threshold=threshold,
        folder=folder / "images",
    )
    store = AnnotationStore(out / "annotations.sqlite3")
    try:
        clock = Clock(START)
        tasks = TaskQueue(store.database, clock)
        prefix = f"round {number} of {config.rounds}, stage {stage}"
        images = annotate_round(
            context, store, tasks, clock, config, lambda text: show(f"{prefix}: {text}")
        )
        result = {
            "round": number,
            "stage": stage,
            "model": name,
            **round_scores(images),
            "threshold": _threshold(images, config.precision),
            "next_model": name,
        }
        if number < config.rounds:
            snapshot = folder / "snapshot"
            write_snapshot(
                store,
                lambda image: scene_to_annotate(
                    image, config.seed, config.scenes
                ).png(),
                snapshot,
            )
            show(f"{prefix}: training, {config.steps} steps")
            trained = _train(folder, snapshot, out / name, model, config)
            result |= _compare(predictor, trained, config)
            if result["registered"]:
                result["next_model"] = str(trained.relative_to(out))
    finally:
        store.close()
    write_json(result_file, result)
    return result


def _threshold(images: list[dict[str, Any]], precision: float) -> float | None:
    """Chooses the threshold of proposals on the masks after the first click.

    People clicked on the centres of objects there, where a grid also clicks elsewhere, so
    that the precision of proposals is lower than this one.
    """
    pairs = [
        (mask["first_score"], mask["first_iou"])
        for _, mask in masks_of(images)
        if mask["first_score"] is not None
    ]
    if not pairs:
        return None
    scores, ious = np.array(pairs).T
    return threshold_for_precision(scores, ious, precision=precision)


def _train(
    folder: Path, snapshot: Path, initial: Path, model: Sam, config: SimulationConfig
) -> Path:
    out = folder / "training"
    weights = out / WEIGHTS
    if not weights.exists():
        run = few_images_config(
            model.config,
            DatasetConfig(path=str(snapshot), format="sa1b"),
            steps=config.steps,
            batch_size=config.batch_size,
            correction_points=config.correction_points,
            # The annotator draws no boxes.
            box_probability=0.0,
            remat=False,
            learning_rate=config.learning_rate,
            seed=config.seed,
            checkpoint_every=50,
            evaluate_every=None,
            picture_every=None,
            tensorboard=False,
        )
        launch(run, out=out, initial=str(initial), resume=True)
    return weights


def _compare(
    predictor: Predictor, trained: Path, config: SimulationConfig
) -> dict[str, Any]:
    """Compares two models on the gold set."""
    new = Predictor(*checkpoints.load(trained))
    scenes = (
        gold_scene(index, config.seed, config.scenes) for index in range(config.gold)
    )
    return compare_models(
        predictor, new, ((scene.pixels, scene.targets) for scene in scenes)
    )
