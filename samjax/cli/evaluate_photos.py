"""`samjax evaluate --data`: the scores on sets of photos, as a table and a JSON file."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samjax.cli import UsageError
from samjax.cli.outputs import make_folder
from samjax.files import check_replaceable
from samjax.terminal import bar, printable

if TYPE_CHECKING:
    from samjax.cli.evaluate import Evaluate
    from samjax.evaluation.result import Result, SetResult
    from samjax.evaluation.segmenter import Segmenter


def run_photos(wanted: "Evaluate", model: str) -> None:
    """Evaluates on sets of photos, prints the scores and writes them where asked to.

    Args:
        wanted: The command line.
        model: The name or path of the model.
    """
    from samjax.evaluation.photo_sets import read_photo_set
    from samjax.evaluation.single_point_photos import chosen_photos, evaluate_photos

    protocol = _protocol(wanted)
    out = None if wanted.out is None else result_file(wanted.out)
    if out is not None:
        make_folder(out.parent)
        check_replaceable(out, "evaluation", overwrite=wanted.overwrite)
    sets = [read_photo_set(path) for path in wanted.data]
    segmenter = _segmenter(wanted, model)
    number = sum(len(chosen_photos(one, protocol)) for one in sets)
    with bar("evaluating", number) as (progress, task, console):

        def say(text: str) -> None:
            console.print(
                printable(text), markup=False, highlight=False, soft_wrap=True
            )

        for one in sets:
            for part in one.skipped:
                if part.detail:
                    say(f"samjax: {one.name}: left out: {part.detail}")
        result = evaluate_photos(
            segmenter,
            sets,
            protocol,
            versions=_versions(),
            on_image=lambda: progress.advance(task),
            on_skipped=lambda part: say(f"samjax: left out: {part.detail}"),
            on_set=lambda one: say(f"{one.name}: done in {one.seconds:.0f} s"),
        )
    print(summary(result))
    if out is not None:
        result.save(out, overwrite=wanted.overwrite)
        print(out)


def result_file(out: Path) -> Path:
    """The file that `--out` means: itself, or `result.json` in that folder."""
    if out.suffix.lower() == ".json" and not out.is_dir():
        return out
    return out / "result.json"


def summary(result: "Result") -> str:
    """Puts the scores in a table, with their intervals, and calibration below it."""
    names = list(result.scores)
    rows = [["mean IoU", "photos", "objects", *names]]
    for one in result.sets:
        scores = [f"{one.scores[name]:.3f}" for name in names]
        rows.append([one.name, str(one.images), str(len(one.objects)), *scores])
        rows.append(["", "", "", *_ranges(one.intervals, names)])
    if len(result.sets) > 1:
        scores = [f"{result.scores[name]:.3f}" for name in names]
        rows.append(["mean of sets", "", "", *scores])
        rows.append(["", "", "", *_ranges(result.intervals, names)])
    lines = _aligned(rows)
    for one in result.sets:
        lines += _notes(one)
    if result.calibration is not None:
        lines.append(f"predicted IoU, 1 click: {calibration_line(result.calibration)}")
    return "\n".join(lines)


def calibration_line(found: Mapping[str, Any]) -> str:
    """Says on one line how far predicted IoUs are from true ones."""
    correlation = found["rank_correlation"]
    rank = "undefined" if correlation is None else f"{correlation:.2f}"
    return (
        f"mean {found['mean_predicted']:.3f}, true {found['mean_true']:.3f}, expected "
        f"calibration error {found['error']:.3f}, rank correlation {rank}"
    )


def _notes(one: "SetResult") -> list[str]:
    """The clicks that a set takes, and its parts that are left out."""
    from samjax.evaluation.intervals import FEW_IMAGES

    lines = []
    for threshold, found in one.noc.items():
        low, high = found["interval"]
        lines.append(
            f"{one.name}: {found['mean']:.2f} clicks ({low:.2f} to {high:.2f}) to an "
            f"IoU of {threshold}, not reached by {found['failures']:.0%}"
        )
    left_out = [f"{len(parts)} {reason}" for reason, parts in one.skipped.items()]
    if one.small:
        left_out.insert(0, f"{one.small} too small")
    if left_out:
        lines.append(f"{one.name}: left out: {', '.join(left_out)}")
    if one.images < FEW_IMAGES:
        lines.append(f"{one.name}: intervals of so few photos are too narrow")
    return lines


def _ranges(intervals: Mapping[str, Sequence[float]], names: list[str]) -> list[str]:
    return [f"{intervals[name][0]:.2f}-{intervals[name][1]:.2f}" for name in names]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _protocol(wanted: "Evaluate") -> Any:
    from samjax.evaluation.single_point_photos import PhotoProtocol

    if wanted.scenes is not None:
        raise UsageError("--scenes and --data: expected one of the two")
    given = {
        name: getattr(wanted, name)
        for name in ("min_area", "images", "objects", "seed")
        if getattr(wanted, name) is not None
    }
    for name, value in given.items():
        if name != "seed" and value < 1:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {value}: expected at least 1")
    if wanted.noc and wanted.segmenter == "grabcut":
        raise UsageError("--noc counts clicks, and GrabCut takes a box: leave one out")
    return PhotoProtocol(clicks=wanted.clicks, noc=wanted.noc, **given)


def _segmenter(wanted: "Evaluate", model: str) -> "Segmenter":
    if wanted.segmenter == "grabcut":
        if wanted.named or wanted.model:
            raise UsageError(f"--segmenter grabcut has no weights: leave out {model}")
        from samjax.evaluation.grabcut import GrabCut

        return GrabCut()
    from samjax.cli.loading import load_predictor
    from samjax.evaluation.segmenter import PredictorSegmenter

    return PredictorSegmenter(load_predictor(model, wanted.dtype), model)


def _versions() -> dict[str, str]:
    """The versions that numbers may depend on, and the kind of device."""
    import samjax
    from samjax.devices import find_devices

    kind = find_devices()[0].device_kind
    versions = {"samjax": samjax.__version__, "device": kind}
    for package in ("jax", "flax", "numpy", "pillow", "opencv-python-headless"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
