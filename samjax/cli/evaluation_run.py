"""The run of one segmenter in `samjax evaluate`: measured, kept, shared or merged."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from samjax.cli.evaluated_segmenters import Named, load_segmenter, recording
from samjax.cli.evaluation_files import IMAGES, result_file, save
from samjax.cli.outputs import make_folder
from samjax.cli.progress import Display, show_progress
from samjax.data.share import ALL, Share

if TYPE_CHECKING:
    from samjax.cli.evaluate import Evaluate
    from samjax.evaluation.edge_detectors import EdgeDetector
    from samjax.evaluation.kept_images import KeptImages
    from samjax.evaluation.measuring import Keeper
    from samjax.evaluation.metrics.metric import ImageRecords
    from samjax.evaluation.report import Report
    from samjax.evaluation.result import Result
    from samjax.evaluation.segmenter import Segmenter
    from samjax.evaluation.suite import Suite

SECONDS_BETWEEN_LINES = 30.0
"""Time between lines of progress where there is no terminal, in suites that take long."""


class Outcome(NamedTuple):
    """The outcome of a segmenter, for comparisons.

    Attributes:
        segmenter: The segmenter; None where it is no longer needed, to free its memory.
        model: Its description.
        records: The records of the images, by the name of the dataset.
    """

    segmenter: Segmenter | EdgeDetector | None
    model: Mapping[str, Any]
    records: dict[str, Sequence[ImageRecords]]


class Place(NamedTuple):
    """Where the files of a segmenter are.

    Attributes:
        out: The file for its result; None for none.
        shares: Folders with the records of its shares, to merge; empty to measure.
        record: A file for its predictions; None for none.
    """

    out: Path | None
    shares: Sequence[Path] = ()
    record: Path | None = None


def run_segmenter(
    wanted: Evaluate, suite: Suite, named: Named, place: Place, share: Share
) -> Outcome | None:
    """Evaluates a segmenter, prints and writes its result.

    Args:
        wanted: The command line.
        suite: The suite.
        named: The segmenter.
        place: Where its files are.
        share: The images to measure.

    Returns:
        The segmenter and its records; None for a share, which has no result.

    Raises:
        UsageError: The segmenter does not fit the options.
        ValueError: Its weights, or the records to merge, cannot be used.
        OSError: A file cannot be read or written.
    """
    segmenter = load_segmenter(
        named, wanted.dtype, wanted.options, embeddings=wanted.embeddings
    )
    if share.count > 1:
        assert place.out is not None
        _measure_share(wanted, suite, segmenter, place.out, share)
        _print_embeddings(segmenter)
        return None
    records: dict[str, Sequence[ImageRecords]] = {}
    report = _result_of(wanted, suite, segmenter, place, records)
    print(_summary(suite, report))
    if place.out is not None:
        save(wanted, suite, report, segmenter, records, place.out)
    _print_embeddings(segmenter)
    model = {} if suite.scores_only else segmenter.describe()
    return Outcome(segmenter if wanted.pictures else None, model, records)


def versions_here() -> dict[str, str]:
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


def _result_of(
    wanted: Evaluate,
    suite: Suite,
    segmenter: Segmenter | EdgeDetector,
    place: Place,
    records: dict[str, Sequence[ImageRecords]],
) -> Report | Result:
    """Evaluates, with the records of earlier runs or shares where they are kept."""
    out = place.out
    if place.shares:
        from samjax.evaluation.merged_images import MergedImages, find_shares

        shares = find_shares(place.shares, _records_file(out).name)
        merged = MergedImages(shares, _evaluation(suite, segmenter))
        return _evaluate(suite, segmenter, records, merged, merged.versions)
    versions = versions_here()
    if place.record is not None:
        make_folder(place.record.parent)
        overwrite = wanted.overwrite
        with recording(segmenter, place.record, overwrite=overwrite) as recorder:
            return _evaluate(suite, recorder, records, None, versions)
    if out is None or suite.scores_only:
        return _evaluate(suite, segmenter, records, None, versions)
    make_folder(out.parent)
    with _kept(wanted, suite, segmenter, _records_file(out)) as kept:
        return _evaluate(suite, segmenter, records, kept, versions)


def _evaluate(
    suite: Suite,
    segmenter: Segmenter | EdgeDetector,
    records: dict[str, Sequence[ImageRecords]],
    kept: Keeper | None,
    versions: Mapping[str, str],
) -> Report | Result:
    """Runs the suite, with a bar and lines on the parts that are left out above it."""
    from samjax.evaluation.report import flat_report
    from samjax.evaluation.suite import evaluate

    with _progress(suite, ALL) as display:
        result = evaluate(
            suite,
            segmenter,
            versions=versions,
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


def _measure_share(
    wanted: Evaluate,
    suite: Suite,
    segmenter: Segmenter | EdgeDetector,
    out: Path,
    share: Share,
) -> None:
    """Measures the images of a share, and says how the result is made."""
    from samjax.evaluation.merged_images import share_file
    from samjax.evaluation.suite import measure_share

    make_folder(out.parent)
    file = share_file(_records_file(out), share)
    with (
        _kept(wanted, suite, segmenter, file) as kept,
        _progress(suite, share) as display,
    ):
        count = measure_share(
            suite,
            segmenter,
            kept,
            share,
            on_image=lambda: display.advance("measured"),
            on_kept=lambda: display.advance("measured", was_done_before=True),
            on_skipped=lambda part: display.print(f"samjax: left out: {part.detail}"),
        )
    print(f"share {share.index}/{share.count}: {count} images measured")
    print(file)
    assert wanted.out is not None
    print(
        "when all shares are done, the same command with --merge "
        f"{result_file(wanted.out).parent} in place of --share writes the result"
    )


@contextlib.contextmanager
def _progress(suite: Suite, share: Share) -> Iterator[Display]:
    """Shows the images of a share, and the parts of the datasets that are left out."""
    total = sum(share.of(len(dataset)) for dataset in suite.datasets)
    lines = None if suite.scores_only else SECONDS_BETWEEN_LINES
    with show_progress("evaluating", total, seconds_between_lines=lines) as display:
        for dataset in suite.datasets:
            for part in dataset.skipped:
                if part.detail:
                    display.print(f"samjax: {dataset.name}: left out: {part.detail}")
        yield display


def _kept(
    wanted: Evaluate, suite: Suite, segmenter: Segmenter | EdgeDetector, file: Path
) -> KeptImages:
    """Opens a file with the records of every image."""
    from samjax.evaluation.kept_images import KeptImages

    evaluation = _evaluation(suite, segmenter)
    return KeptImages(file, evaluation, overwrite=wanted.overwrite)


def _evaluation(suite: Suite, segmenter: Segmenter | EdgeDetector) -> dict[str, Any]:
    """Returns all that the records of images depend on but the images."""
    return {
        "suite": suite.name,
        "suite_version": suite.version,
        "protocol": dict(suite.protocol),
        "model": dict(segmenter.describe()),
        "versions": versions_here(),
    }


def _records_file(out: Path | None) -> Path:
    """Returns the file for the records of all images beside a result."""
    return (out or Path("result.json")).with_suffix(IMAGES)


def _summary(suite: Suite, report: Report | Result) -> str:
    from samjax.evaluation.report import Report
    from samjax.evaluation.table import table

    return report.summary() if isinstance(report, Report) else table(suite, report)


def _print_embeddings(segmenter: Segmenter | EdgeDetector) -> None:
    """Prints what was read from and written to the folder of embeddings, if any."""
    from samjax.evaluation.segmenters.cached import CachedSegmenter

    if isinstance(segmenter, CachedSegmenter):
        print(segmenter.summary())
