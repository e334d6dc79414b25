"""`samjax evaluate [MODEL]`: how good a model is on drawn scenes, or on sets of photos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL, parse
from samjax.cli.compilation import keep_compiled_programs
from samjax.cli.outputs import make_folder
from samjax.files import check_replaceable


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a model on drawn scenes that no training saw, or on sets of photos.

    The protocol is that of SAM's section 7.1: a click at the centre of each object, then
    at the centre of the largest error; mean IoU at some numbers of clicks, and from a
    box. `oracle` takes the best of the three masks by its true IoU.
    """

    named: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MODEL")
    ] = None
    """small (the default), tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    model: str | None = None
    """The same as MODEL."""

    suite: Literal["single-point"] = "single-point"
    """The protocol."""

    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")] = ()
    """Sets of photos with masks: folders with annotations.json, in COCO's format."""

    scenes: int | None = None
    """How many scenes to draw, without --data (default: 500)."""

    seed: int | None = None
    """Seed of the scenes, by default one that no config of samjax trains on; with --data
    the seed of the objects that are drawn and of the bootstrap."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """What to compute in."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """A JSON file for the scores and for every object's IoUs; with --data, where it has
    no suffix .json, a folder for result.json."""

    clicks: tuple[int, ...] = (1, 3, 5)
    """Numbers of clicks to score at."""

    segmenter: Literal["samjax", "grabcut"] = "samjax"
    """grabcut: OpenCV's GrabCut from the box, in place of a model (with --data)."""

    min_area: int | None = None
    """Pixels of a photo that an object has at least (with --data; default: 400)."""

    noc: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Count the clicks that IoUs of 0.85 and 0.90 take, at most 20 (with --data)."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (with --data; default: all)."""

    objects: int | None = None
    """Most objects of a photo, of more some are drawn (with --data; default: all)."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces a file at --out that is no result of an evaluation."""


def run(arguments: list[str]) -> None:
    """Evaluates, prints the scores and writes them where asked to."""
    wanted = parse(Evaluate, "samjax evaluate", arguments)
    if wanted.named and wanted.model and wanted.named != wanted.model:
        raise UsageError(
            f"{wanted.named}, --model {wanted.model}: expected one model, by either"
        )
    model = wanted.model or wanted.named or DEFAULT_MODEL
    if not wanted.clicks or min(wanted.clicks) < 1:
        raise UsageError("--clicks: expected numbers of at least 1")
    if wanted.data:
        from samjax.cli.evaluate_photos import run_photos

        run_photos(wanted, model)
    else:
        _check_scenes(wanted)
        _run_scenes(wanted, model)


def _run_scenes(wanted: Evaluate, model: str) -> None:
    if wanted.out is not None:
        if wanted.out.is_dir():
            raise UsageError(f"--out {wanted.out}: expected a file, this is a folder")
        check_replaceable(wanted.out, "evaluation", overwrite=wanted.overwrite)
        make_folder(wanted.out.parent)
    keep_compiled_programs()

    import samjax
    from samjax.devices import find_devices
    from samjax.evaluation.datasets.scenes import HELD_OUT_SEED, evaluate_scenes

    find_devices()
    predictor = samjax.Predictor(*samjax.load(model, dtype=wanted.dtype))
    report = evaluate_scenes(
        predictor,
        num_scenes=500 if wanted.scenes is None else wanted.scenes,
        seed=HELD_OUT_SEED if wanted.seed is None else wanted.seed,
        clicks=wanted.clicks,
    )
    print(report.summary())
    if wanted.out is not None:
        report.save(wanted.out, overwrite=wanted.overwrite)
        print(wanted.out)


def _check_scenes(wanted: Evaluate) -> None:
    if wanted.scenes is not None and wanted.scenes < 1:
        raise UsageError(f"--scenes {wanted.scenes}: expected at least 1")
    for name in ("min_area", "noc", "images", "objects"):
        if getattr(wanted, name) not in (None, False):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is for photos: name sets of them with --data")
    if wanted.segmenter != "samjax":
        raise UsageError("--segmenter is for photos: name sets of them with --data")
