"""Opening of datasets for the suites that score detections: `proposals`, `instances`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from samjax.evaluation.datasets import READERS, open_dataset
from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.datasets.detection_sets import DetectionSet, open_detection_set
from samjax.evaluation.datasets.detector_results import read_results
from samjax.evaluation.datasets.selection import Selection


def open_detection_data(
    path: Path, *, images: int | None = None, with_objects: bool = False
) -> Dataset:
    """Opens a file of COCO or LVIS as a detection set, and any other layout as it is.

    Args:
        path: A folder or file.
        images: Most photos, spread evenly over the set; None for all.
        with_objects: Whether photos without an annotation are left out.

    Raises:
        ValueError: It is no dataset of a known layout.
        OSError: It is not there or cannot be read.
    """
    layout = next(name for name, reader in READERS.items() if reader.takes(path))
    if layout == "coco":
        return open_detection_set(path, images=images, with_objects=with_objects)
    return open_dataset(path, Selection(min_area=1, images=images))


def with_results(
    datasets: Sequence[Dataset],
    files: Sequence[Path],
    *,
    masks: bool,
    categories: bool = True,
    most: int | None = None,
) -> list[Dataset]:
    """Returns detection sets with the results of a model.

    Args:
        datasets: The sets.
        files: A file of results for each.
        masks: Whether the masks of the results are taken, as those to score, or the
            boxes, as those to prompt with.
        categories: Whether categories matter; if not, all become 0.
        most: Most entries of an image, those of highest score; None for all.

    Raises:
        ValueError: A set is of another layout, a file is none of results or has none
            that can be used, or the numbers of sets and files differ.
        OSError: A file is not there or cannot be read.
    """
    if len(files) != len(datasets):
        raise ValueError(
            f"got {len(files)} files of results for {len(datasets)} sets, expected one "
            "for each set, in their order"
        )
    return [
        _with_results(dataset, file, masks, categories, most)
        for dataset, file in zip(datasets, files, strict=True)
    ]


def _with_results(
    dataset: Dataset, file: Path, masks: bool, categories: bool, most: int | None
) -> DetectionSet:
    if not isinstance(dataset, DetectionSet):
        raise ValueError(  # noqa: TRY004
            f"{dataset.name}: got a set without ids of images, expected COCO's or "
            f"LVIS's file, whose ids the results in {file} refer to"
        )
    results = read_results(
        file,
        {entry["id"]: entry["size"] for entry in dataset.images},
        dataset.categories if categories else None,
        left_out=dataset.entries.keys(),
    )
    found: Mapping[int, Sequence[Mapping[str, object]]] = results.boxes
    if masks:
        found = {
            image: [
                {
                    "segmentation": dict(entry.mask),
                    "score": entry.score,
                    "category_id": entry.category,
                }
                for entry in entries
            ]
            for image, entries in results.masks.items()
        }
    if not found:
        kind = "a segmentation" if masks else "a bbox"
        raise ValueError(
            f"{file}: got no result with {kind} for the images of {dataset.name}, "
            "expected some"
        )
    if most is not None:
        found = {image: _best(entries, most) for image, entries in found.items()}
    skipped = (*dataset.skipped, *results.skipped)
    if masks:
        return dataclasses.replace(dataset, masks=found, skipped=skipped)
    return dataclasses.replace(dataset, boxes=found, skipped=skipped)


def _best(
    entries: Sequence[Mapping[str, object]], most: int
) -> list[Mapping[str, object]]:
    return sorted(entries, key=lambda entry: -float(str(entry["score"])))[:most]
