"""`samjax engine calibrate|propose|round`: proposals and rounds of the data engine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder
from samjax.cli.progress import counted, show_steps

Folder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """Trains a proposer on images with masks, calibrates it, and measures it.

    The head on the frozen image embedding is trained on three fifths of the images; the
    confidence of the masks is calibrated on a fifth, and measured on the last fifth beside
    a uniform grid of as many prompts. Embeddings are kept, so that a run that was stopped
    goes on.
    """

    folder: Folder
    """A project or a folder that `samjax serve` annotates; or with --format a dataset."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("proposer.safetensors")
    """File of the proposer."""

    model: str | None = None
    """The model: a name, or a file or folder. Default: that of the project's last round,
    or small."""

    format: Literal["coco", "sa1b", "folder", "npz"] | None = None
    """Form of a dataset, as for `samjax train`; default: the folder is a project."""

    state: Path | None = None
    """Folder of the project's store, where it is elsewhere."""

    cache: Path | None = None
    """Folder of the embeddings. Default: embeddings beside --out."""

    points: int = 49
    """Prompts of an image; a square number, for the grid beside them."""

    precision: float = 0.9
    """Fraction of the shown masks that should be right."""

    iou: float = 0.75
    """IoU from which a mask is right."""

    steps: int = 150
    """Training steps of the head."""

    background: float = 1.0
    """Weight of places outside all masks; lower it where many objects have no mask."""

    seed: int = 0
    """Seed of the training."""

    overwrite: bool = False
    """Replaces a file at --out that is no proposer."""


@dataclass(frozen=True, kw_only=True)
class Propose:
    """Stores confident masks of the images that are still open, for people to take.

    They are masks of stage 2 with the source `proposed`, without duplicates of masks that
    people made, and do not count as made by hand. Given again, the command changes
    nothing; proposals of another model that nobody touched are replaced.
    """

    folder: Folder
    """The project, or a folder that `samjax serve` annotates."""

    proposer: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The proposer, made by `samjax engine calibrate`."""

    model: str | None = None
    """The model that it was calibrated for. Default: that of the project's last round, or
    small."""

    state: Path | None = None
    """Folder of the project's store, where it is elsewhere."""

    images: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Name of an image; may be repeated. Default: all that are open."""

    round: int = 0
    """Round that the proposals are for."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """Runs a round: snapshot, training, comparison, proposals, report.

    The masks of people are written as a snapshot, the present model is trained further on
    it, and assists from now on unless it is worse on held-out images by more than a 95 %
    interval; a proposer is fitted for it, and images that are open get proposals. A round
    that was stopped goes on when the same command is given again.
    """

    folder: Folder
    """The project, or a folder that `samjax serve` annotates."""

    state: Path | None = None
    """Folder of the project's store, where it is elsewhere."""

    number: int | None = None
    """Number of the round. Default: the one after the last finished round."""

    model: str | None = None
    """The model to train further: a name, or a file or folder. Default: that of the last
    round, or small. Another one begins a larger encoder."""

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Python file of the training, as for `samjax train`; its data are replaced."""

    until: Literal[
        "snapshot", "train", "evaluate", "calibrate", "propose", "report"
    ] = "report"
    """The last step to do."""

    steps: int = 200
    """Training steps, without --config."""

    batch_size: int = 2
    """Images of a training step, without --config."""

    held_out: float = 0.2
    """Fraction of the annotated images to compare models on, without --gold."""

    gold: str | None = None
    """Images with trusted masks to compare models on: a COCO file, or SA-1B's form."""

    automatic: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Tars of automatic masks to train on as well; may be repeated."""

    hand_weight: float = 10.0
    """How many times as often an image of people is drawn as one of --automatic."""

    accept_untouched: bool = False
    """Counts proposals that nobody touched as taken, on images that people worked on."""

    points: int = 49
    """Prompts of the proposer on an image."""

    precision: float = 0.9
    """Fraction of the proposals that should be right."""

    iou: float = 0.75
    """IoU from which a proposal is right."""

    head_steps: int = 150
    """Training steps of the proposer's head."""

    seed: int = 0
    """Seed of the training."""


def run_calibrate(options: Calibrate) -> None:
    """Runs `samjax engine calibrate`."""
    from samjax.engine.proposer.annotated import EmbeddingFolder
    from samjax.engine.proposer.fitting import FitConfig, fit_proposer
    from samjax.engine.proposer.training import HeadConfig
    from samjax.files import check_replaceable

    config = FitConfig(
        points=options.points,
        precision=options.precision,
        iou=options.iou,
        head=HeadConfig(
            steps=options.steps, background=options.background, seed=options.seed
        ),
    )
    check_replaceable(options.out, "engine", overwrite=options.overwrite)
    images, model = _annotated(options)
    make_folder(options.out.parent)
    predictor = load_predictor(model, "float32")
    cache = options.cache or options.out.parent / "embeddings"
    proposer = fit_proposer(
        predictor, images, EmbeddingFolder(cache, predictor), config, _show
    )
    proposer.save(options.out, overwrite=options.overwrite)
    print(table_of(proposer.measured))
    if proposer.threshold is None:
        print(
            f"no confidence reaches a precision of {options.precision} at an IoU of "
            f"{options.iou}: nothing will be proposed; train the model further, or lower "
            "--precision or --iou"
        )
    print(options.out)


def run_propose(options: Propose) -> None:
    """Runs `samjax engine propose`.

    Raises:
        UsageError: A name is that of no image.
    """
    from samjax.engine.project_folder import find_project
    from samjax.engine.proposer.annotated import EmbeddingFolder
    from samjax.engine.proposer.fitted import Proposer
    from samjax.engine.rounds.proposing import open_images, propose_into_store
    from samjax.engine.rounds.steps import present_model

    project = find_project(options.folder, options.state)
    proposer = Proposer.load(options.proposer)
    model = options.model or present_model(project) or DEFAULT_MODEL
    predictor = load_predictor(model, "float32")
    proposer.check(predictor)
    store = project.open_store()
    try:
        known = set(project.names())
        if unknown := sorted(set(options.images) - known):
            raise UsageError(
                f"--images {unknown[0]}: expected names in {project.images}"
            )
        names = list(options.images) or open_images(project, store)
        embeddings = EmbeddingFolder(project.state / "rounds" / "embeddings", predictor)
        proposed = propose_into_store(
            project,
            store,
            names,
            predictor,
            proposer,
            embeddings,
            round=options.round,
        )
        done = list(show_steps("propose", proposed, "images", len(names)))
    finally:
        store.close()
    for image in done:
        if image.problem is not None:
            print(f"samjax: left out: {image.problem}", file=sys.stderr)
    count = sum(image.count for image in done)
    words = f"{counted(count, 'proposal')} on {counted(len(done), 'image')}"
    print(f"{words}: {project.state}")


def run_round(options: Round) -> None:
    """Runs `samjax engine round`."""
    from samjax.cli.compilation import keep_compiled_programs
    from samjax.engine.project_folder import find_project
    from samjax.engine.proposer.training import HeadConfig
    from samjax.engine.rounds import steps
    from samjax.engine.rounds.config import RoundConfig

    project = find_project(options.folder, options.state)
    number = options.number or steps.last_round(project) + 1
    config = RoundConfig(
        number=number,
        initial=options.model
        or steps.present_model(project, before=number)
        or DEFAULT_MODEL,
        train_config=options.config,
        steps=options.steps,
        batch_size=options.batch_size,
        held_out=options.held_out,
        gold=options.gold,
        automatic=options.automatic,
        hand_weight=options.hand_weight,
        accept_untouched=options.accept_untouched,
        points=options.points,
        precision=options.precision,
        iou=options.iou,
        head=HeadConfig(steps=options.head_steps, seed=options.seed),
        seed=options.seed,
    )
    keep_compiled_programs()
    report = steps.run_round(project, config, _show, until=options.until)
    folder = project.round_folder(number)
    if not report:
        print(folder)
        return
    low, high = report["gold_difference_interval"]
    verdict = (
        "registered" if report["registered"] else "worse: the model before is kept"
    )
    print(table_of(report["proposer"]))
    print(
        f"IoU after one click {report['gold_iou']:.3f}, then "
        f"{report['gold_iou_of_next']:.3f} ({low:+.3f} to {high:+.3f}) on "
        f"{report['gold_images']} held-out images: {verdict}"
    )
    print(
        f"{report['proposals']['masks']} proposals on {report['proposals']['images']} "
        "images"
    )
    print(folder / "report.html")


def table_of(measured: Any) -> str:
    """Returns recall and precision of proposer and grid as lines of text.

    Args:
        measured: `Proposer.measured`.
    """
    from samjax.evaluation.intervals import FEW_IMAGES

    titles = ("prompts", "recall at 0.5", "precision of 20", "shown", "their precision")
    lines = ["{:9} {:>22} {:>22} {:>6} {:>22}".format(*titles)]
    for name in ("proposer", "grid"):
        of = measured[name]
        at = of["at_threshold"]
        lines.append(
            f"{name:9} {_cell(of['recall'], of['recall_interval']):>22} "
            f"{_cell(of['precision_of_20'], of['precision_of_20_interval']):>22} "
            f"{at['masks_per_image']:6.1f} "
            f"{_cell(at['precision'], at['interval']):>22}"
        )
    ratio = measured["recall_ratio"]
    lines.append(f"ratio of recalls: {_cell(ratio['ratio'], ratio['interval'])}")
    if measured["images"] < FEW_IMAGES:
        lines.append(
            f"measured on {measured['images']} images: intervals of so few are too narrow"
        )
    return "\n".join(lines)


def _cell(value: float | None, bounds: Any) -> str:
    if value is None:
        return "-"
    low, high = bounds
    return f"{value:.3f} ({low:.3f}-{high:.3f})"


def _annotated(options: Calibrate) -> tuple[Any, str]:
    """Returns the images of a dataset or of a project, and the model."""
    from samjax.engine.proposer.annotated import of_examples

    if options.format is not None:
        from samjax.data.datasets import DatasetConfig, open_examples

        data = DatasetConfig(path=str(options.folder), format=options.format)
        return of_examples(open_examples(data)), options.model or DEFAULT_MODEL
    from samjax.engine.project_folder import find_project
    from samjax.engine.rounds.proposing import annotated_images
    from samjax.engine.rounds.steps import present_model

    project = find_project(options.folder, options.state)
    model = options.model or present_model(project) or DEFAULT_MODEL
    return annotated_images(project), model


def _show(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
