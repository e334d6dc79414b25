"""The files of `samjax evaluate`: the result, and what is written beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samjax.cli import UsageError
from samjax.cli.outputs import make_folder
from samjax.files import (
    KEY,
    check_replaceable,
    json_text,
    mark_of,
    write_output,
)

if TYPE_CHECKING:
    from samjax.cli.evaluate import Evaluate
    from samjax.cli.evaluation_run import Outcome
    from samjax.evaluation.edge_detectors import EdgeDetector
    from samjax.evaluation.metrics.metric import ImageRecords
    from samjax.evaluation.report import Report
    from samjax.evaluation.result import Result
    from samjax.evaluation.segmenter import Segmenter
    from samjax.evaluation.suite import Suite

IMAGES = ".images.jsonl"
"""Suffix of the file with the records of all images, in place of that of the result."""


def out_file(wanted: Evaluate, suite: Suite) -> Path | None:
    """Returns the file for the result, which is shown to be writable; None for none.

    Args:
        wanted: The command line.
        suite: The suite.

    Raises:
        UsageError: It is a folder, where a file is expected.
        WouldReplace: A file of the user is there, and stays as it is.
        OSError: Its folder cannot be made.
    """
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
    """Returns the file that `--out` means: itself, or `result.json` in that folder.

    Args:
        out: The path of `--out`.
    """
    if out.suffix.lower() == ".json" and not out.is_dir():
        return out
    return out / "result.json"


def save(
    wanted: Evaluate,
    suite: Suite,
    report: Report | Result,
    segmenter: Segmenter | EdgeDetector,
    records: Mapping[str, Sequence[ImageRecords]],
    out: Path,
) -> None:
    """Writes the result and the files beside it, and prints their paths.

    Args:
        wanted: The command line.
        suite: The suite.
        report: The result.
        segmenter: The segmenter.
        records: The records that the result was computed from.
        out: The file for the result.

    Raises:
        WouldReplace: A file of the user has the name of one, and stays as it is.
        OSError: One cannot be written.
    """
    from samjax.evaluation.outputs import OBJECTS, REPORT, save_objects, save_report
    from samjax.evaluation.result import Result

    overwrite = wanted.overwrite
    if isinstance(report, Result):
        objects, page = out.with_suffix(OBJECTS), out.with_suffix(REPORT)
        if save_objects(records, objects, overwrite=overwrite):
            print(objects)
        save_report(
            *(suite, report, records, segmenter, page),
            pictures=wanted.pictures,
            overwrite=overwrite,
        )
        print(page)
    report.save(out, overwrite=overwrite)
    print(out)
    for plot in _plots(report, out):
        print(plot)
    _save_masks(records, out, overwrite=overwrite)


def save_comparison(
    wanted: Evaluate,
    suite: Suite,
    outcomes: Mapping[str, Outcome],
    out: Path | None,
) -> None:
    """Prints the scores of all segmenters side by side, and writes them beside `out`.

    Args:
        wanted: The command line.
        suite: The suite.
        outcomes: The segmenters and their records, by name.
        out: The file for the result of the first one; None for none.

    Raises:
        ValueError: The segmenters were scored on other images or objects.
        WouldReplace: A file of the user has the name of one, and stays as it is.
        OSError: One cannot be written.
    """
    from samjax.evaluation.comparison import compare
    from samjax.evaluation.comparison_report import save_comparison_report

    records = {name: outcome.records for name, outcome in outcomes.items()}
    comparison = compare(suite.name, suite.metrics, records, seed=suite.seed)
    print(f"\n{comparison.table()}")
    if out is None:
        return
    file = out.with_name(f"{out.stem}.comparison.json")
    comparison.save(file, overwrite=wanted.overwrite)
    print(file)
    page = file.with_suffix(".html")
    save_comparison_report(
        suite,
        comparison,
        records,
        {name: outcome.model for name, outcome in outcomes.items()},
        page,
        segmenters={
            name: outcome.segmenter
            for name, outcome in outcomes.items()
            if outcome.segmenter is not None
        },
        overwrite=wanted.overwrite,
    )
    print(page)


def _plots(report: Report | Result, out: Path) -> list[Path]:
    """Writes the plots of a result beside it, and returns their files."""
    from samjax.evaluation.plots import write_plots
    from samjax.evaluation.result import Result

    return write_plots(report, out) if isinstance(report, Result) else []


def _save_masks(
    records: Mapping[str, Sequence[ImageRecords]], out: Path, *, overwrite: bool
) -> None:
    """Writes masks that are kept among the records, a file for each set."""
    from samjax.evaluation.metrics.kept_masks import results_of

    for name, images in records.items():
        if found := list(results_of(images)):
            part = "" if len(records) == 1 else f".{name}"
            file = out.with_name(f"{out.stem}{part}.masks.json")
            # COCO's results are a list: the mark of the file is in its first entry.
            found[0] = {KEY: mark_of("evaluation"), **found[0]}
            text = json_text(found)
            write_output(file, f"{text}\n".encode(), "evaluation", overwrite=overwrite)
            print(file)
