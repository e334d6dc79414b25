"""`samjax evaluate [MODEL]`: runs an evaluation suite on a model and reports the scores."""

import dataclasses
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL, parse, value_of
from samjax.cli.outputs import make_folder
from samjax.cli.progress import show_progress
from samjax.evaluation.suites import (
    DEFAULT_SUITE,
    SUITES,
    OptionError,
    SuiteOptions,
    suite_options,
)
from samjax.files import check_replaceable

if TYPE_CHECKING:
    from samjax.evaluation.edge_detectors import EdgeDetector
    from samjax.evaluation.kept_images import KeptImages
    from samjax.evaluation.metrics.metric import ImageRecords
    from samjax.evaluation.report import Report
    from samjax.evaluation.result import Result
    from samjax.evaluation.segmenter import Segmenter
    from samjax.evaluation.suite import Suite

SECONDS_BETWEEN_LINES = 30.0
"""Time between lines of progress where there is no terminal, in suites that take long."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluates a model by a suite: on sets of photos, or on held-out drawn scenes.

    The suite single-point follows SAM's section 7.1: a click at the centre of each
    object, then at the centre of the largest error; mean IoU at some numbers of clicks,
    and from a box. `oracle` takes the best of the three masks by its true IoU.
    The suite edges scores edge maps on sets such as BSDS500 (ODS, OIS, AP, R50);
    fairness, clothing and geography compare groups; probe looks at the nearest
    neighbours of mask embeddings; statistics and audit look at masks without a model.
    `--suite NAME --help` lists the options of another suite.
    """

    named: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MODEL")
    ] = None
    """small (the default), tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    model: str | None = None
    """The same as MODEL."""

    suite: Annotated[str, tyro.conf.arg(metavar="|".join(SUITES))] = DEFAULT_SUITE
    """The suite."""

    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")] = ()
    """Datasets with masks: COCO files or folders with annotations.json, folders with
    images/ and masks/, MedSAM's .npz files; without any, drawn scenes."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the computation."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """A JSON file for the scores and for every object's IoUs; with --data, where it has
    no suffix .json, a folder for result.json. Beside it a report, .html, and the records
    of all objects and images, .objects.jsonl and .images.jsonl."""

    segmenter: Literal["samjax", "grabcut", "canny", "sobel", "saved"] = "samjax"
    """In place of a model, with --data. grabcut: OpenCV's GrabCut from the box; canny,
    sobel: edge detectors of OpenCV, for --suite edges; saved: saved predictions, with
    --results."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces a file at --out that is no result of an evaluation."""

    pictures: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Shows the worst, median and best cases in the report as pictures. They are photos
    of the data: look at them before you publish the report, they may show people."""

    options: SuiteOptions


def run(arguments: list[str]) -> None:
    """Evaluates, prints the scores and writes them to `--out`.

    Raises:
        UsageError: The suite is unknown, or options do not go together.
    """
    name = value_of("--suite", arguments) or DEFAULT_SUITE
    if name not in SUITES:
        raise UsageError(
            f"--suite {name}: invalid choice, expected one of {', '.join(SUITES)}"
        )
    wanted = parse(_with_options(suite_options(name)), "samjax evaluate", arguments)
    if wanted.named and wanted.model and wanted.named != wanted.model:
        raise UsageError(
            f"{wanted.named}, --model {wanted.model}: expected one model, by either"
        )
    try:
        wanted.options.check(wanted.data, wanted.segmenter)
    except OptionError as error:
        raise UsageError(str(error)) from error
    if wanted.segmenter != "samjax" and (given := wanted.named or wanted.model):
        raise UsageError(
            f"--segmenter {wanted.segmenter} has no weights: leave out {given}"
        )
    suite = wanted.options.make(wanted.data, _image_size(wanted))
    out = _out_file(wanted, suite)
    segmenter = _segmenter(wanted)
    records: dict[str, Sequence[ImageRecords]] = {}
    if suite.keeps_images and out is not None:
        with _kept(suite, segmenter, out, overwrite=wanted.overwrite) as kept:
            report = _evaluate(suite, segmenter, kept, records)
    else:
        report = _evaluate(suite, segmenter, None, records)
    print(_summary(suite, report))
    if out is not None:
        _save(wanted, suite, report, records, segmenter, out)
        for plot in _plots(report, out):
            print(plot)


def _with_options(kind: type[SuiteOptions]) -> type[Evaluate]:
    """Returns the command line with the options of a suite beside the common ones."""
    options = Annotated[kind, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]
    return dataclasses.make_dataclass(
        "Evaluate",
        [("options", options)],
        bases=(Evaluate,),
        namespace={"__doc__": Evaluate.__doc__},
        frozen=True,
        kw_only=True,
    )


def _image_size(wanted: Evaluate) -> int | None:
    """Returns the model's input size, of which only the weights' shapes are read."""
    if wanted.segmenter != "samjax" or not wanted.options.needs_model:
        return None
    from samjax.training.launch import sizes_of

    return sizes_of(_model(wanted)).image_size


def _model(wanted: Evaluate) -> str:
    return wanted.model or wanted.named or DEFAULT_MODEL


def _segmenter(wanted: Evaluate) -> "Segmenter | EdgeDetector":
    if not wanted.options.needs_model:
        from samjax.evaluation.no_model import NoModel

        return NoModel()
    from samjax.evaluation.edge_detectors import EDGE_DETECTORS

    if wanted.segmenter in EDGE_DETECTORS:
        return EDGE_DETECTORS[wanted.segmenter]
    if wanted.segmenter == "saved":
        return wanted.options.saved()
    if wanted.segmenter == "grabcut":
        from samjax.evaluation.grabcut import GrabCut

        return GrabCut()
    from samjax.cli.loading import load_predictor
    from samjax.evaluation.segmenter import PredictorSegmenter

    model = _model(wanted)
    return PredictorSegmenter(load_predictor(model, wanted.dtype), model)


def _kept(
    suite: "Suite", segmenter: "Segmenter | EdgeDetector", out: Path, *, overwrite: bool
) -> "KeptImages":
    """Opens the file beside the result with the records of every image."""
    from samjax.evaluation.kept_images import KeptImages

    return KeptImages(
        out.with_suffix(".images.jsonl"),
        {
            "suite": suite.name,
            "protocol": dict(suite.protocol),
            "model": dict(segmenter.describe()),
            "versions": _versions(),
        },
        overwrite=overwrite,
    )


def _evaluate(
    suite: "Suite",
    segmenter: "Segmenter | EdgeDetector",
    kept: "KeptImages | None",
    records: "dict[str, Sequence[ImageRecords]]",
) -> "Report | Result":
    """Runs the suite, with a bar and lines on the parts that are left out above it."""
    from samjax.evaluation.report import flat_report
    from samjax.evaluation.suite import evaluate

    lines = SECONDS_BETWEEN_LINES if suite.keeps_images else None
    with show_progress(
        "evaluating", len(suite), seconds_between_lines=lines
    ) as display:
        for dataset in suite.datasets:
            for part in dataset.skipped:
                if part.detail:
                    display.print(f"samjax: {dataset.name}: left out: {part.detail}")
        result = evaluate(
            suite,
            segmenter,
            versions=_versions(),
            kept=kept,
            on_image=lambda: display.advance("measured"),
            on_kept=lambda: display.advance("measured", was_done_before=True),
            on_skipped=lambda part: display.print(f"samjax: left out: {part.detail}"),
            on_set=lambda of_set: display.print(
                f"{of_set.name}: done in {of_set.seconds:.0f} s"
            ),
            on_records=records.__setitem__,
        )
    return flat_report(suite, result) if suite.scores_only else result


def _save(
    wanted: Evaluate,
    suite: "Suite",
    report: "Report | Result",
    records: "dict[str, Sequence[ImageRecords]]",
    segmenter: "Segmenter | EdgeDetector",
    out: Path,
) -> None:
    """Writes the result and the files beside it, and prints their paths."""
    from samjax.evaluation.outputs import OBJECTS, REPORT, save_objects, save_report
    from samjax.evaluation.result import Result

    overwrite = wanted.overwrite
    if isinstance(report, Result):
        objects, page = out.with_suffix(OBJECTS), out.with_suffix(REPORT)
        if save_objects(records, objects, overwrite=overwrite):
            print(objects)
        pictures = wanted.pictures
        save_report(
            *(suite, report, records, segmenter, page),
            pictures=pictures,
            overwrite=overwrite,
        )
        print(page)
    report.save(out, overwrite=overwrite)
    print(out)


def _summary(suite: "Suite", report: "Report | Result") -> str:
    from samjax.evaluation.report import Report
    from samjax.evaluation.table import table

    return report.summary() if isinstance(report, Report) else table(suite, report)


def _plots(report: "Report | Result", out: Path) -> list[Path]:
    """Writes the plots of a result beside it, and returns their files."""
    from samjax.evaluation.plots import write_plots
    from samjax.evaluation.result import Result

    if not isinstance(report, Result):
        return []
    return write_plots(report, out)


def _out_file(wanted: Evaluate, suite: "Suite") -> Path | None:
    """Returns the file for the result, which is shown to be writable; None for none."""
    if wanted.out is None:
        return None
    if not suite.scores_only:
        out = result_file(wanted.out)
    elif wanted.out.is_dir():
        raise UsageError(f"--out {wanted.out}: expected a file, this is a folder")
    else:
        out = wanted.out
    from samjax.evaluation.outputs import OBJECTS, REPORT

    suffixes = () if suite.scores_only else (OBJECTS, REPORT)
    for path in (out, *map(out.with_suffix, suffixes)):
        check_replaceable(path, "evaluation", overwrite=wanted.overwrite)
    make_folder(out.parent)
    return out


def result_file(out: Path) -> Path:
    """Returns the file that `--out` means: itself, or `result.json` in that folder."""
    if out.suffix.lower() == ".json" and not out.is_dir():
        return out
    return out / "result.json"


def _versions() -> dict[str, str]:
    """Returns the versions that numbers may depend on, and the kind of device."""
    import samjax
    from samjax.devices import find_devices

    kind = find_devices()[0].device_kind
    versions = {"samjax": samjax.__version__, "device": kind}
    packages = ("jax", "flax", "numpy", "scipy", "pillow", "opencv-python-headless")
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
