"""The files of an evaluation beside its JSON: records of objects, and the HTML report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from samjax.evaluation.cases import choose_cases, draw_cases
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.html_report import SetPage, render_evaluation
from samjax.evaluation.metrics.metric import ImageRecords
from samjax.evaluation.result import Result
from samjax.evaluation.segmenter import Segmenter
from samjax.evaluation.suite import Suite
from samjax.files import KEY, json_text, mark_of, write_output

REPORT, OBJECTS = ".html", ".objects.jsonl"
"""Suffixes of the files, in place of that of the result."""

Records = Mapping[str, Sequence[ImageRecords]]
"""The records of all images by the name of the dataset (`evaluate`'s `on_records`)."""


def save_report(
    suite: Suite,
    result: Result,
    records: Records,
    segmenter: Segmenter | EdgeDetector,
    path: Path,
    *,
    pictures: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes the HTML report.

    Args:
        suite: The suite.
        result: Its result.
        records: The records that it was computed from.
        segmenter: The model, which predicts the cases once more for the pictures.
        path: Path of the file.
        pictures: Whether the worst, median and best cases are shown as pictures. These
            are photos of the datasets, of people too.
        overwrite: Whether a file that samjax did not write is replaced.

    Raises:
        WouldReplace: Such a file is there, and stays as it is.
        OSError: It cannot be written.
    """
    pages = {}
    for dataset, of_set in zip(suite.datasets, result.sets, strict=True):
        images = records[dataset.name]
        cases = next(
            (cases for metric in suite.metrics if (cases := metric.cases(images))), ()
        )
        chosen = choose_cases(cases)
        if pictures:
            chosen = draw_cases(suite, {"prediction": segmenter}, dataset, chosen)
        pages[dataset.name] = SetPage(
            charts=[
                chart for metric in suite.metrics for chart in metric.charts(images)
            ],
            notes=[
                note
                for metric in suite.metrics
                for note in metric.notes(of_set.details)
            ],
            cases=chosen,
        )
    page = render_evaluation(result, pages)
    write_output(path, page.encode(), "evaluation", overwrite=overwrite)


def save_objects(records: Records, path: Path, *, overwrite: bool = False) -> bool:
    """Writes the record of every object as a line of JSON.

    Args:
        records: The records of all images.
        path: Path of the file.
        overwrite: Whether a file that samjax did not write is replaced.

    Returns:
        Whether it was written: there is an object.

    Raises:
        WouldReplace: Such a file is there, and stays as it is.
        OSError: It cannot be written.
    """
    text = "".join(f"{line}\n" for line in _lines(records))
    if text:
        write_output(path, text.encode(), "evaluation", overwrite=overwrite)
    return bool(text)


def _lines(records: Records) -> Iterator[str]:
    for name, images in records.items():
        for image in images:
            for index, fields in enumerate(image.objects):
                place = {"set": name, "image": image.name, "object": index}
                yield json_text({KEY: mark_of("evaluation"), **place, **fields})
