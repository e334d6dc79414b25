"""`samjax data index|build|verify|stats|label`: preparation of datasets.

`label` is in `samjax.cli.data_label`.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import parse, parse_share
from samjax.cli.data_label import Label, label
from samjax.cli.data_progress import BuildTally, show_shard
from samjax.cli.outputs import make_folder, write_json
from samjax.cli.progress import show_progress, show_steps
from samjax.files import check_replaceable

Tars = Annotated[
    tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TARS...")
]


@dataclass(frozen=True, kw_only=True)
class Index:
    """Indexes tars of SA-1B: the offsets of each image and its JSON.

    Reads headers only. Every reader of tars does this when it first opens a tar; doing
    it before, on one machine, saves the others the time.
    """

    tars: Tars
    """Uncompressed tars, folders of them, or patterns."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """Turns tars of SA-1B into a dataset of TFDS, of array_record files.

    Images are resized to the size of training, masks keep their run lengths; several
    processes and machines can share the work. A build that was stopped resumes when the
    same command is given again, and writes the same files.
    """

    tars: Tars
    """Uncompressed tars, folders of them, or patterns; all of them, with any --share."""

    out: Path
    """Folder of the dataset; made if it does not exist."""

    long_side: int = 1024
    """Longer side of the stored images, in pixels; smaller images are not changed."""

    originals: bool = False
    """Keeps all images unchanged."""

    quality: int = 95
    """JPEG quality of resized images."""

    parts: int = 4
    """Files for each tar. With four, those of SA-1B are about a gigabyte each."""

    workers: int = 1
    """Worker processes."""

    share: str = "0/1"
    """INDEX/COUNT: this process's part of a build that is split by hand."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of the dataset's names in the folder that no build wrote."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Reads a dataset and prints its problems.

    For TFDS every shard is counted and read: features, headers of images, run lengths.
    Where tensorflow-datasets is installed, it has to be able to read the dataset too.
    Datasets of other formats are read as in training, image by image with its masks,
    and everything that is left out is printed.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PLACE")]
    """The dataset: a folder, a JSON file of COCO, an npz file or a tar."""

    format: Literal["tfds", "sa1b", "coco", "folder", "npz"] | None = None
    """The format; detected from the files by default."""

    every: int = 1
    """Reads every n-th example."""

    pixels: bool = False
    """Decodes the images of TFDS completely; those of other formats always are."""


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Computes statistics of tars of SA-1B, or of a dataset of TFDS."""

    places: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PLACES...")
    ]
    """Tars, folders or patterns of them, or one folder of a dataset of TFDS."""

    images: int | None = None
    """Number of images to read, evenly spaced; all by default."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON file for all statistics."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces a file at --out that samjax did not write."""


def run(arguments: list[str]) -> None:
    """Runs the subcommand."""
    wanted: Any = parse(
        Index | Build | Verify | Stats | Label, "samjax data", arguments
    )
    _check_numbers(wanted)
    match wanted:
        case Index():
            _index(wanted)
        case Build():
            _build(wanted)
        case Verify():
            _verify(wanted)
        case Stats():
            _stats(wanted)
        case Label():
            label(wanted)


def _check_numbers(wanted: Any) -> None:
    for name in (
        "long_side",
        "quality",
        "parts",
        "workers",
        "every",
        "images",
        "in_flight",
    ):
        value = getattr(wanted, name, None)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value}: use at least 1")
    for name in ("tars", "places"):
        if getattr(wanted, name, None) == ():
            raise UsageError(f"not given: {name.upper()} (see samjax data --help)")


def _index(wanted: Index) -> None:
    from samjax.data.sa1b.index import load_index

    tars = _tars(wanted.tars)
    images = unpaired = 0
    for tar in show_steps("index", tars, "tars"):
        index = load_index(tar)
        images += len(index.rows)
        unpaired += index.unpaired
        if index.damage:
            _print_note(f"{tar}: {index.damage}")
    left = f", {unpaired} without image or JSON" if unpaired else ""
    print(f"{images} images in {len(tars)} tars{left}")


def _build(wanted: Build) -> None:
    from samjax.data.tfds.build import build_shards, share_of_shards
    from samjax.data.tfds.layout import BuildConfig, make_plan
    from samjax.data.tfds.metadata import finish
    from samjax.data.tfds.schema import tfds_features

    index, count = parse_share(wanted.share)
    # A missing package is reported now, and not after hours of work.
    tfds_features()
    make_folder(wanted.out)
    config = BuildConfig(
        long_side=None if wanted.originals else wanted.long_side,
        quality=wanted.quality,
        parts=wanted.parts,
    )
    tars = _tars(wanted.tars)
    plan = make_plan(tars, wanted.out, config, overwrite=wanted.overwrite)
    numbers = share_of_shards(plan, index, count)
    tally = BuildTally()
    with show_progress("build", len(numbers)) as display:
        for progress in build_shards(plan, numbers, workers=wanted.workers):
            tally.add(progress)
            show_shard(display, progress, tally)
    print(f"{tally.in_words()}: {wanted.out}")
    totals = finish(plan)
    if totals.shards < plan.num_shards:
        print(
            f"{totals.shards} of {plan.num_shards} shards are there; when the other "
            "shares are done, the last one writes the metadata"
        )
        return
    print(
        f"complete: {totals.images} images and {totals.masks} masks in "
        f"{totals.shards} shards of {totals.bytes / 1e9:.2f} GB together"
    )
    if totals.bad_images or totals.bad_masks or totals.damaged_tars:
        damaged = f", {len(totals.damaged_tars)} tars damaged"
        print(
            f"left out: {totals.bad_images} images and {totals.bad_masks} masks"
            f"{damaged if totals.damaged_tars else ''}; see {plan.report(0).parent}"
        )


def _verify(wanted: Verify) -> None:
    from samjax.data.verify import guess_format

    format = wanted.format or guess_format(wanted.folder)
    if format == "tfds":
        _verify_tfds(wanted)
    else:
        _verify_examples(wanted, format)


def _verify_examples(
    wanted: Verify, format: Literal["sa1b", "coco", "folder", "npz"]
) -> None:
    from samjax.data.verify import open_for_verification, verify_examples

    examples, problems, notes = open_for_verification(wanted.folder, format)
    for line in (*problems, *notes):
        _print_note(line)
    total = len(range(0, len(examples), wanted.every))
    problems_of_examples = verify_examples(examples, every=wanted.every)
    damaged = 0
    for problem in show_steps("verify", problems_of_examples, "images", total):
        if problem is not None:
            damaged += 1
            _print_note(problem)
    print(f"{total} images with masks read as {format}, {damaged} of them damaged")
    if problems or damaged:
        raise ValueError(
            f"{wanted.folder} has {len(problems) + damaged} problems: {len(problems)} "
            f"parts are left out, {damaged} images are damaged"
        )


def _verify_tfds(wanted: Verify) -> None:
    from samjax.data.tfds.source import find_shards
    from samjax.data.tfds.verify import read_by_tfds, verify_shards

    shards = find_shards(wanted.folder)
    results = verify_shards(wanted.folder, every=wanted.every, pixels=wanted.pixels)
    images = masks = problems = 0
    for result in show_steps("verify", results, "shards", len(shards)):
        images += result.images
        masks += result.masks
        problems += len(result.problems)
        for problem in result.problems[:_SHOWN]:
            _print_note(problem)
        if len(result.problems) > _SHOWN:
            more = len(result.problems) - _SHOWN
            _print_note(f"{result.shard.path.name}: and {more} more")
    by_tfds = read_by_tfds(wanted.folder)
    read = "not tried by TFDS" if by_tfds is None else f"TFDS reads {by_tfds}"
    print(f"{images} images and {masks} masks in {len(shards)} shards read, {read}")
    if problems:
        raise ValueError(f"{wanted.folder} has {problems} problems")


def _stats(wanted: Stats) -> None:
    from samjax.data.tfds.stats import Statistics, spread_out

    if wanted.out is not None:
        check_replaceable(
            wanted.out, "statistics", overwrite=wanted.overwrite, inputs=wanted.places
        )
    source = _source(wanted.places)
    counts = Statistics()
    total = min(len(source), wanted.images or len(source))
    for raw in show_steps("stats", spread_out(source, wanted.images), "images", total):
        counts.add(raw)
    summary = counts.summary()
    _print_table(summary)
    if wanted.out is not None:
        make_folder(wanted.out.parent)
        write_json(wanted.out, summary, "statistics", overwrite=wanted.overwrite)
        print(wanted.out)


def _print_table(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for name, value in summary.items():
        if name == "relative_mask_size":
            continue
        shown = value
        if isinstance(value, dict):
            shown = "  ".join(f"{key} {_number(part)}" for key, part in value.items())
        elif isinstance(value, float):
            shown = _number(value)
        table.add_row(name.replace("_", " "), str(shown))
    Console().print(table)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tars(places: Iterable[str]) -> list[str]:
    from samjax.data.sa1b.source import find_tars

    tars = sorted({tar for place in places for tar in find_tars(place)})
    if not tars:
        raise ValueError(f"found no uncompressed tar at {', '.join(places)}")
    return tars


def _source(places: tuple[str, ...]) -> Any:
    from samjax.data.tfds.source import TfdsSource, dataset_folder

    if len(places) == 1 and Path(places[0]).is_dir():
        try:
            return TfdsSource(dataset_folder(places[0]))
        except ValueError:
            if (Path(places[0]) / "build.json").is_file():
                raise
    from samjax.data.sa1b.tars import TarSource

    return TarSource(_tars(places))


def _print_note(problem: str) -> None:
    print(f"samjax: {problem}", file=sys.stderr)


_SHOWN = 10
