"""`samjax engine automatic|audit`: masks of stage 3, and their quality audit."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL, parse_share
from samjax.cli.everything_progress import Tally, show_done
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder, write_json
from samjax.cli.progress import counted, show_progress


@dataclass(frozen=True, kw_only=True)
class Automatic:
    """Makes the masks of stage 3: everything mode at the paper's preset, with provenance.

    Every mask has its stage (3), round, model and source beside SA-1B's fields. A run
    that was stopped goes on when the same command is given again. `samjax engine audit
    --masks` draws images of it for people to correct.
    """

    images: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGES...")
    ]
    """Photos, folders, uncompressed tars, tfds:NAME/SPLIT or tfds:FOLDER:SPLIT."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the records or shards."""

    model: str = DEFAULT_MODEL
    """The model: a name, or a file or folder; rounds keep theirs in
    DIR/.samjax/rounds/NN/training/model.safetensors."""

    round: int = 0
    """Round of the data engine that the model comes from."""

    preset: Literal["paper", "reference", "dense", "fast"] = "paper"
    """Options of everything mode: paper made SA-1B."""

    pred_iou_thresh: float | None = None
    """Least predicted IoU. Default: that of the model."""

    stability_score_thresh: float | None = None
    """Least stability score. Default: that of the model."""

    shards: int | None = None
    """Writes tars of so many images and their records, instead of a file for each
    image."""

    processes: int = 1
    """Processes on this machine that share the images."""

    share: str = "0/1"
    """INDEX/COUNT: this process's part of a run that is split by hand, as over machines."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Compares automatic masks with what people corrected, as the paper's quality check.

    With one folder, a project: --draw puts random images into the queue, each of their
    masks to be corrected; without it the figures of the audit are written. With two
    folders: automatic masks, and the corrected masks of the same images.
    """

    folders: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR [CORRECTED]")
    ]
    """A project; or two COCO files, or folders of SA-1B's records."""

    draw: int | None = None
    """Number of random images to put into the queue."""

    masks: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """With --draw: folder of `samjax engine automatic` whose masks are audited. Default:
    automatic masks that are in the store already."""

    number: int = 1
    """Number of the audit."""

    state: Path | None = None
    """Folder of the project's store, where it is elsewhere."""

    pairs: Literal["id", "iou"] = "iou"
    """With two folders: the corrected mask of the same id, or one to one that of the
    highest IoU."""

    images: Path | None = None
    """With two folders: folder of the images, for the pictures."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of result.json and result.html. Default: the audit's, or samjax_audit."""

    worst: int = 50
    """Number of the worst pairs to show."""

    seed: int = 0
    """Seed of the draw and of the intervals."""


def run_automatic(options: Automatic) -> None:
    """Runs `samjax engine automatic`.

    Raises:
        UsageError: A number is too small, or options exclude each other.
        ValueError: No image could be segmented, or a process failed.
    """
    for name in ("processes", "shards"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: expected at least 1")
    if options.processes > 1:
        _share_out(options)
        return
    from samjax.data.images import find_images
    from samjax.engine.run import Share, generate_to_folder
    from samjax.inference.automatic.config import PRESETS
    from samjax.inference.embedding import weights_fingerprint

    items = find_images(options.images)
    share = Share(*parse_share(options.share))
    make_folder(options.out)
    predictor = load_predictor(options.model, options.dtype)
    given = {
        name: value
        for name in ("pred_iou_thresh", "stability_score_thresh")
        if (value := getattr(options, name)) is not None
    }
    config = PRESETS[options.preset].for_model(predictor.model.config)
    done = generate_to_folder(
        predictor,
        items,
        options.out,
        dataclasses.replace(config, **given),
        shard_size=options.shards,
        share=share,
        provenance={
            "stage": 3,
            "round": options.round,
            "source": "automatic",
            "model": weights_fingerprint(predictor.model.config, predictor.params),
        },
    )
    tally = Tally()
    with show_progress("automatic", -(-len(items) // share.count)) as display:
        for image in done:
            tally.add(image)
            show_done(display, image, tally)
    print(f"{tally.in_words()}: {options.out}")
    if tally.problems and not tally.made and not tally.found:
        name, problem = next(iter(tally.problems.items()))
        raise ValueError(f"no image could be segmented; {name}: {problem}")


def _share_out(options: Automatic) -> None:
    """Starts processes of this command, each with a share, and waits for them."""
    if options.share != "0/1":
        raise UsageError("--processes and --share: give one of the two")
    arguments = list(options.images)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name not in ("images", "processes", "share") and value is not None:
            arguments += [f"--{field.name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "samjax", "engine", "automatic", *arguments]
    # As an interrupt does, so that the processes end with this one.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    started = [
        subprocess.Popen([*command, "--share", f"{index}/{options.processes}"])
        for index in range(options.processes)
    ]
    try:
        statuses = [process.wait() for process in started]
    finally:
        for process in started:
            with contextlib.suppress(OSError):
                process.terminate()
    if any(statuses):
        failed = [index for index, status in enumerate(statuses) if status]
        raise ValueError(
            f"{len(failed)} of {options.processes} processes failed, share {failed[0]} "
            "first: see its message above; the same command goes on"
        )


def run_audit(options: Audit) -> None:
    """Runs `samjax engine audit`.

    Raises:
        UsageError: There are too many folders, or options do not go with them.
    """
    if len(options.folders) not in (1, 2):
        raise UsageError(
            f"got {len(options.folders)} folders, expected a project, or automatic and "
            "corrected masks"
        )
    if options.draw is not None and options.draw < 1:
        raise UsageError(f"--draw {options.draw}: expected at least 1")
    if len(options.folders) == 2:
        if options.draw is not None or options.masks is not None:
            raise UsageError("--draw and --masks are for a project: name one folder")
        _audit_folders(options)
    elif options.draw is not None:
        _draw(options)
    else:
        _audit_project(options)


def _draw(options: Audit) -> None:
    from samjax.engine.audit.drawing import begin_audit
    from samjax.engine.project_folder import find_project

    begun = begin_audit(
        find_project(options.folders[0], options.state),
        options.number,
        images=options.draw or 1,
        seed=options.seed,
        records=options.masks,
    )
    print(
        f"audit {options.number}: {counted(len(begun['images']), 'image')} in the queue, "
        f"from revision {begun['revision']}; when all are done, the same command without "
        "--draw compares"
    )


def _audit_project(options: Audit) -> None:
    from samjax.engine.audit.drawing import audit_folder, audit_result
    from samjax.engine.project_folder import find_project

    project = find_project(options.folders[0], options.state)
    figures = audit_result(project, options.number, most=options.worst)
    out = options.out or audit_folder(project, options.number)
    _write(figures, out, f"Audit {options.number}", project.images)


def _audit_folders(options: Audit) -> None:
    from samjax.engine.audit.figures import audit_records
    from samjax.evaluation.datasets.mask_records import open_records

    before, after = options.folders
    figures = audit_records(
        open_records(before),
        open_records(after),
        pairs=options.pairs,
        seed=options.seed,
        most=options.worst,
    )
    images = options.images or (before if before.is_dir() else before.parent)
    _write(figures, options.out or Path("samjax_audit"), "Audit", images)


def _write(figures: Any, out: Path, title: str, images: Path) -> None:
    from samjax.engine.audit.page import render_audit
    from samjax.files import write_output
    from samjax.inference import read_image

    def read(name: str) -> Any:
        try:
            return read_image(images / name)
        except (OSError, ValueError):
            # The masks are shown without it.
            return None

    make_folder(out)
    page = render_audit(figures, title, read).encode("utf-8", "backslashreplace")
    write_output(out / "result.html", page, "report")
    write_json(out / "result.json", figures.content, "engine")
    content = figures.content
    for name, words in (
        ("iou", "mean IoU"),
        ("above_0.90", "IoU above 0.90"),
        ("above_0.75", "IoU above 0.75"),
    ):
        low, high = content[f"{name}_interval"]
        print(f"{words}: {content[name]:.3f} ({low:.3f} to {high:.3f})")
    print(
        f"{counted(content['pairs'], 'pair')} of {counted(content['images'], 'image')}; "
        f"{content['removed']:.1%} removed, {content['added']:.1%} added by people"
    )
    if left := content.get("images_not_done"):
        print(
            f"note: {left} of {counted(content['images'], 'image')} not done in the queue: "
            "their masks were compared as they are"
        )
    print(out / "result.html")
