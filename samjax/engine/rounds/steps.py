"""A round, step by step: each leaves a file that is written last, and is not done twice.

    rounds/01/round.json         options, revision, held-out images, the first model
    rounds/01/snapshot/          masks to train on; manifest.json is written last
    rounds/01/held_out/          masks to compare models on
    rounds/01/training/          model.safetensors, resumed from its checkpoints
    rounds/01/evaluation.json    both models on held-out or gold images
    rounds/01/proposer.safetensors
    rounds/01/proposals.json     numbers of proposals that were stored, by image
    rounds/01/report.json        and report.html

A round that was killed goes on with the same options, from the revision it began with,
and ends with the same result.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from samjax import checkpoints
from samjax.data.datasets import DatasetConfig, open_examples
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.rows import Stored
from samjax.engine.marked_json import read_json, write_json
from samjax.engine.project_folder import ProjectFolder
from samjax.engine.proposer.annotated import (
    AnnotatedImage,
    EmbeddingFolder,
    of_examples,
    read_pairs,
)
from samjax.engine.proposer.fitted import Proposer
from samjax.engine.proposer.fitting import FitConfig, fit_proposer
from samjax.engine.rounds.comparing import compare_models, held_out_images
from samjax.engine.rounds.config import RoundConfig
from samjax.engine.rounds.proposing import (
    LEAST_IMAGES,
    open_images,
    propose_into_store,
)
from samjax.engine.rounds.report import write_report
from samjax.engine.snapshot import MANIFEST, write_snapshot
from samjax.engine.sources import PROPOSED, is_by_people
from samjax.files import locked, sha256_of
from samjax.inference import Predictor
from samjax.inference.embedding import weights_fingerprint
from samjax.training.config import TrainConfig
from samjax.training.finetune.recipe import few_images_config
from samjax.training.launch import WEIGHTS, launch, load_config, sizes_of

Show = Callable[[str], None]
Step = Literal["snapshot", "train", "evaluate", "calibrate", "propose", "report"]
STEPS: tuple[Step, ...] = get_args(Step)


def run_round(
    project: ProjectFolder,
    config: RoundConfig,
    show: Show = lambda text: None,
    *,
    until: Step = "report",
) -> dict[str, Any]:
    """Runs a round, or goes on with one.

    Args:
        project: The project.
        config: Options of the round.
        show: Called with a line for every step.
        until: The last step to do.

    Returns:
        The content of `report.json`; empty where the round has not come so far.

    Raises:
        ValueError: The round began with other options or another model, or there are too
            few masks.
        WouldReplace: Its folder has files that samjax did not write.
        InUse: Another process runs the round.
        OSError: A file cannot be read or written.
    """
    folder = project.round_folder(config.number)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / ".lock", f"the round in {folder}"):
            store = project.open_store()
            try:
                running = _Round(project, store, folder, config, show)
                running.begin()
                for step in STEPS[: STEPS.index(until) + 1]:
                    show(f"round {config.number}: {step}")
                    getattr(running, step)()
            finally:
                store.close()
    finally:
        # A round that was refused has left nothing in it.
        with contextlib.suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()
    report = folder / "report.json"
    return read_json(report) if report.exists() else {}


def last_round(project: ProjectFolder) -> int:
    """Returns the number of the last finished round; 0 for none."""
    number = 0
    while (project.round_folder(number + 1) / "report.json").exists():
        number += 1
    return number


def present_model(project: ProjectFolder, before: int | None = None) -> str | None:
    """Returns the model that assists after the last finished round; None before any.

    Args:
        project: The project.
        before: Number of a round: the last one before it; None for the last of all.
    """
    number = last_round(project) if before is None else before - 1
    path = project.round_folder(number) / "report.json"
    if number < 1 or not path.exists():
        return None
    return _located(project, read_json(path)["next_model"])


@dataclass(frozen=True, eq=False)
class _Round:
    """A round in progress."""

    project: ProjectFolder
    store: AnnotationStore
    folder: Path
    config: RoundConfig
    show: Show

    def begin(self) -> None:
        """Writes what the round begins with, or checks that it began so."""
        path = self.folder / "round.json"
        own = {
            "config": self.config.identity(),
            "model": self._fingerprint_of_initial(),
        }
        if not path.exists():
            revision, rows = self.store.snapshot()
            images = {row["image"] for row in self._kept(rows)}
            if len(images) < 3:
                raise ValueError(
                    f"got {len(images)} images with masks of people, expected at least 3, "
                    "to train, calibrate and compare on: annotate more"
                )
            held_out = images & set(self.project.gold_images())
            if not held_out or held_out == images:
                held_out = held_out_images(images, self.config.held_out)
            write_json(
                path, {**own, "revision": revision, "held_out": sorted(held_out)}
            )
        before = read_json(path)
        for name, words in (("config", "options"), ("model", "a first model")):
            if before[name] != own[name]:
                raise ValueError(
                    f"{self.folder} has a round that began with other {words}: give "
                    "those, or the next --number"
                )

    def snapshot(self) -> None:
        """Writes the masks to train on, and those to compare models on."""
        begun = read_json(self.folder / "round.json")
        revision, held_out = begun["revision"], set(begun["held_out"])
        _, rows = self.store.snapshot(revision)
        kept = self._kept(rows)
        own = {row["uuid"] for row in kept}
        for name, side in (("held_out", True), ("snapshot", False)):
            write_snapshot(
                self.store,
                self.project.read,
                self.folder / name,
                revision=revision,
                keep=lambda row, side=side: (
                    row["uuid"] in own and (row["image"] in held_out) == side
                ),
            )

    def train(self) -> None:
        """Trains the model on the snapshot, and on automatic masks if there are some."""
        weights = self._trained
        if weights.exists():
            return
        config = self.config
        data = DatasetConfig(path=str(self.folder / "snapshot"), format="sa1b")
        if config.train_config is not None:
            run = load_config(config.train_config, config.initial)
            run = dataclasses.replace(run, data=self._mixed(data), seed=config.seed)
        else:
            run = self._recipe(data)
        launch(run, out=weights.parent, initial=str(config.initial), resume=True)

    def evaluate(self) -> None:
        """Compares the two models, and decides which one assists from now on."""
        path = self.folder / "evaluation.json"
        if path.exists():
            return
        old, new = self._load(self.config.initial), self._load(str(self._trained))
        result = compare_models(
            old, new, ((pair.pixels, pair.masks) for pair in self._gold())
        )
        model = self._trained if result["registered"] else self.config.initial
        chosen = new if result["registered"] else old
        write_json(
            path,
            {
                **result,
                "next_model": _portable(self.project, str(model)),
                "fingerprint": _fingerprint(new),
                "next_fingerprint": _fingerprint(chosen),
            },
        )

    def calibrate(self) -> None:
        """Fits the proposer for the model that assists from now on."""
        path = self.folder / "proposer.safetensors"
        if path.exists():
            return
        predictor = self._load(read_json(self.folder / "evaluation.json")["next_model"])
        images = [
            dataclasses.replace(image, name=f"{part}/{image.name}")
            for part in self._learnt_from()
            for image in self._images(part)
        ]
        fit = FitConfig(
            points=self.config.points,
            precision=self.config.precision,
            iou=self.config.iou,
            least_masks=self.config.least_masks,
            head=self.config.head,
        )
        embeddings = EmbeddingFolder(self._embeddings, predictor)
        fit_proposer(predictor, images, embeddings, fit, self.show).save(path)

    def propose(self) -> None:
        """Stores proposals for the images that are still open."""
        path = self.folder / "proposals.json"
        if path.exists():
            return
        predictor = self._load(read_json(self.folder / "evaluation.json")["next_model"])
        proposer = Proposer.load(self.folder / "proposer.safetensors")
        images = open_images(self.project, self.store)
        counts, problems = {}, {}
        for done in propose_into_store(
            self.project,
            self.store,
            images,
            predictor,
            proposer,
            EmbeddingFolder(self._embeddings, predictor),
            # They are looked at in the round to come.
            round=self.config.number + 1,
        ):
            counts[done.image] = done.count
            if done.problem is not None:
                problems[done.image] = done.problem
            self.show(f"proposals: {len(counts)} of {len(images)} images")
        write_json(
            path,
            {
                "images": len(counts),
                "masks": sum(counts.values()),
                "threshold": proposer.threshold,
                "problems": problems,
                "by_image": counts,
            },
        )

    def report(self) -> None:
        """Writes what the round did and measured, as JSON and as a page."""
        path = self.folder / "report.json"
        if path.exists():
            return
        begun = read_json(self.folder / "round.json")
        _, rows = self.store.snapshot(begun["revision"])
        proposer = Proposer.load(self.folder / "proposer.safetensors")
        proposals = read_json(self.folder / "proposals.json")
        del proposals["by_image"]
        content = {
            "round": self.config.number,
            "revision": begun["revision"],
            "model": begun["model"],
            "snapshots": {
                name: sha256_of(self.folder / name / MANIFEST)
                for name in ("snapshot", "held_out")
            },
            **read_json(self.folder / "evaluation.json"),
            "proposer": dict(proposer.measured),
            "proposals": proposals,
        }
        write_report(self.folder, content, [r for r in rows if is_by_people(r)])

    @property
    def _trained(self) -> Path:
        return self.folder / "training" / WEIGHTS

    @property
    def _embeddings(self) -> Path:
        return self.project.state / "rounds" / "embeddings"

    def _load(self, model: str) -> Predictor:
        return Predictor(*checkpoints.load(_located(self.project, model)))

    def _fingerprint_of_initial(self) -> str:
        return _fingerprint(self._load(self.config.initial))

    def _kept(self, rows: list[Stored]) -> list[Stored]:
        """Returns the masks to learn from."""
        by_people = {row["image"] for row in rows if is_by_people(row)}
        return [
            row
            for row in rows
            if is_by_people(row)
            or (
                self.config.accept_untouched
                and row["source"] == PROPOSED
                and row["image"] in by_people
            )
        ]

    def _images(self, part: str) -> list[AnnotatedImage]:
        path = str(self.folder / part)
        return of_examples(open_examples(DatasetConfig(path=path, format="sa1b")))

    def _learnt_from(self) -> list[str]:
        """Returns the parts that the proposer is fitted to.

        Gold images that people get are left out, unless fewer than three others are
        there: their proposals would be better than those of other images.
        """
        held_out = set(read_json(self.folder / "round.json")["held_out"])
        is_gold = held_out <= set(self.project.gold_images_of_people())
        if is_gold and len(self._images("snapshot")) >= LEAST_IMAGES:
            return ["snapshot"]
        return ["snapshot", "held_out"]

    def _gold(self) -> Iterator[Any]:
        if self.config.gold is None:
            return read_pairs(self._images("held_out"))
        form = "coco" if self.config.gold.endswith(".json") else "sa1b"
        gold = DatasetConfig(path=self.config.gold, format=form)
        return read_pairs(of_examples(open_examples(gold)))

    def _recipe(self, data: DatasetConfig) -> TrainConfig:
        config = self.config
        return few_images_config(
            sizes_of(config.initial),
            self._mixed(data),
            steps=config.steps,
            batch_size=config.batch_size,
            correction_points=1,
            remat=False,
            seed=config.seed,
            checkpoint_every=50,
            evaluate_every=None,
            picture_every=None,
            tensorboard=False,
        )

    def _mixed(self, data: DatasetConfig) -> DatasetConfig | MixtureConfig:
        """Adds automatic masks, images of people being drawn more often."""
        if not self.config.automatic:
            return data
        automatic = DatasetConfig(path=self.config.automatic, format="sa1b")
        by_hand, by_model = (len(open_examples(part)) for part in (data, automatic))
        weight = self.config.hand_weight * by_hand
        return MixtureConfig(
            parts=(
                MixturePart(data=data, weight=weight),
                MixturePart(data=automatic, weight=float(by_model)),
            )
        )


def _portable(project: ProjectFolder, model: str) -> str:
    """Returns a model's file relative to the state, which may be moved."""
    path, state = Path(model).resolve(), project.state.resolve()
    return path.relative_to(state).as_posix() if path.is_relative_to(state) else model


def _located(project: ProjectFolder, model: str) -> str:
    path = project.state / model
    return str(path) if path.is_file() else model


def _fingerprint(predictor: Predictor) -> str:
    return weights_fingerprint(predictor.model.config, predictor.params)
