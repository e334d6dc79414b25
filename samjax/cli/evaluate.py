"""`samjax evaluate [MODEL]`: runs an evaluation suite on a model and reports the scores."""

import dataclasses
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import (
    DEFAULT_MODEL,
    DEFAULT_TEXT_MODEL,
    parse,
    value_of,
)
from samjax.cli.evaluated_segmenters import (
    Named,
    SegmenterName,
    load_segmenter,
    named_segmenter,
    parse_segmenter,
    recording,
)
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
    proposals everything mode by AR@1000 (section 7.3); instances masks of boxes by COCO's
    or LVIS's AP (section 7.4).
    `--suite NAME --help` lists the options of another suite.
    """

    named: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MODEL")
    ] = None
    """small (the default; small_text for the suite text), tiny, vit_b, vit_l, vit_h, or a
    file or folder of weights."""

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

    segmenter: SegmenterName = "samjax"
    """The model or method in place of a model of samjax, with --data.

    reference: segment_anything, with a .pth file as MODEL; transformers: a SamModel, with
    its folder as MODEL; grabcut: OpenCV's GrabCut from the box; canny, sobel: edge
    detectors of OpenCV, for --suite edges; recorded: predictions that --record wrote;
    saved: predictions of files that the suite names."""

    against: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="SEGMENTER[:MODEL] [...]")
    ] = ()
    """Further segmenters, on the same images, such as tiny, grabcut or
    reference:FILE.pth; the differences are given with intervals."""

    record: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """A file for all predictions, prompt by prompt, which --segmenter recorded with the
    file as MODEL scores again without the model."""

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
    weights = wanted.model or wanted.named
    if weights is None and wanted.options.needs_text and wanted.segmenter == "samjax":
        weights = DEFAULT_TEXT_MODEL
    named = named_segmenter(wanted.segmenter, weights)
    others = _others(wanted, named)
    suite = wanted.options.make(wanted.data, _image_size(wanted, named))
    out = _out_file(wanted, suite)
    records = {named.label: _run(wanted, suite, named, out, wanted.record)}
    for other in others:
        place = None if out is None else out.parent / other.label / out.name
        print(f"\n{other.label}:")
        records[other.label] = _run(wanted, suite, other, place)
    if others:
        _compare(wanted, suite, records, out)


def _others(wanted: Evaluate, first: Named) -> list[Named]:
    """Returns the segmenters of --against, each of another name."""
    others = [parse_segmenter(text) for text in wanted.against]
    labels = [first.label, *(other.label for other in others)]
    if len(set(labels)) < len(labels):
        raise UsageError(f"--against: got {', '.join(labels)}, expected different ones")
    for other in others:
        try:
            wanted.options.check(wanted.data, other.name)
        except OptionError as error:
            raise UsageError(f"--against {other.label}: {error}") from error
    if others and not wanted.data:
        raise UsageError("--against is for photos: name sets of them with --data")
    return others


def _run(
    wanted: Evaluate,
    suite: "Suite",
    named: Named,
    out: Path | None,
    record: Path | None = None,
) -> "dict[str, Sequence[ImageRecords]]":
    """Evaluates a segmenter, prints and writes its result, and returns the records."""
    records: dict[str, Sequence[ImageRecords]] = {}
    segmenter = load_segmenter(named, wanted.dtype, wanted.options)
    if record is not None:
        make_folder(record.parent)
        with recording(segmenter, record, overwrite=wanted.overwrite) as recorder:
            report = _evaluate(suite, recorder, None, records)
    elif suite.keeps_images and out is not None:
        make_folder(out.parent)
        with _kept(suite, segmenter, out, overwrite=wanted.overwrite) as kept:
            report = _evaluate(suite, segmenter, kept, records)
    else:
        report = _evaluate(suite, segmenter, None, records)
    print(_summary(suite, report))
    if out is not None:
        _save(wanted, suite, report, records, segmenter, out)
        for plot in _plots(report, out):
            print(plot)
        _save_masks(records, out, overwrite=wanted.overwrite)
    return records


def _save_masks(
    records: "dict[str, Sequence[ImageRecords]]", out: Path, *, overwrite: bool
) -> None:
    """Writes masks that are kept among the records, a file for each set."""
    from samjax.evaluation.metrics.kept_masks import results_of
    from samjax.files import KEY, json_text, mark_of, write_output

    for name, images in records.items():
        if found := list(results_of(images)):
            part = "" if len(records) == 1 else f".{name}"
            file = out.with_name(f"{out.stem}{part}.masks.json")
            # COCO's results are a list: the mark of the file is in its first entry.
            found[0] = {KEY: mark_of("evaluation"), **found[0]}
            text = json_text(found)
            write_output(file, f"{text}\n".encode(), "evaluation", overwrite=overwrite)
            print(file)


def _compare(
    wanted: Evaluate,
    suite: "Suite",
    records: "dict[str, dict[str, Sequence[ImageRecords]]]",
    out: Path | None,
) -> None:
    """Prints the scores of all segmenters side by side, and writes them beside --out."""
    from samjax.evaluation.comparison import compare

    comparison = compare(suite.name, suite.metrics, records, seed=suite.seed)
    print(f"\n{comparison.table()}")
    if out is not None:
        file = out.with_name(f"{out.stem}.comparison.json")
        comparison.save(file, overwrite=wanted.overwrite)
        print(file)


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


def _image_size(wanted: Evaluate, named: Named) -> int | None:
    """Returns the model's input size, of which only the weights' shapes are read."""
    if named.name != "samjax" or not wanted.options.needs_model:
        return None
    from samjax.training.launch import sizes_of

    return sizes_of(named.weights or DEFAULT_MODEL).image_size


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
