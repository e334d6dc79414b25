"""Completion of a build: TFDS's metadata, once every shard is done, and totals."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from samjax.data.tfds.layout import SPLIT, Plan, Report, read_report, shard_name
from samjax.data.tfds.schema import DATASET, VERSION, tfds_features


class Totals(NamedTuple):
    """Totals over the reports of shards.

    Attributes:
        shards: Number of finished shards.
        images: Number of their images.
        masks: Number of their masks.
        bad_images: Number of images that were left out.
        bad_masks: Number of masks that were left out of the images in the shards.
        damaged_tars: Names of tars that are truncated or damaged.
        bytes: Size of the shards' files.
    """

    shards: int
    images: int
    masks: int
    bad_images: int
    bad_masks: int
    damaged_tars: list[str]
    bytes: int


def add_up(reports: Iterable[Report]) -> Totals:
    """Returns the totals over reports."""
    reports = list(reports)
    return Totals(
        shards=len(reports),
        images=sum(report["written"] for report in reports),
        masks=sum(report["masks"] for report in reports),
        bad_images=sum(len(report["bad"]) for report in reports),
        bad_masks=sum(
            len(bad) for report in reports for bad in report["bad_masks"].values()
        ),
        damaged_tars=sorted({report["tar"] for report in reports if report["damage"]}),
        bytes=sum(report["bytes"] for report in reports),
    )


def finish(plan: Plan) -> Totals:
    """Writes the metadata of a dataset if all of its shards are done.

    Every process of a build calls this at its end; several may, and write the same
    files.

    Returns:
        The totals over all finished shards, of all processes.

    Raises:
        ValueError: All shards are done, and none has an image.
        ImportError: TFDS is missing.
    """
    all_reports = (read_report(plan, shard) for shard in range(plan.num_shards))
    reports = [report for report in all_reports if report is not None]
    totals = add_up(reports)
    if totals.shards == plan.num_shards:
        write_metadata(plan.folder, reports)
    return totals


def write_metadata(folder: Path, reports: list[Report]) -> None:
    """Writes TFDS's metadata of a dataset to a folder.

    Args:
        folder: Folder for the metadata; the shards may be elsewhere.
        reports: The reports of all shards, in order.

    Raises:
        ValueError: No shard has an image.
        ImportError: TFDS is missing.
        OSError: The folder cannot be written.
    """
    if not add_up(reports).images:
        raise ValueError(
            f"none of {len(reports)} shards has an image: the reports beside them have "
            "the problem of each image"
        )
    features = tfds_features()
    import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]

    split = tfds.core.SplitInfo(
        name=SPLIT,
        shard_lengths=[report["written"] for report in reports],
        num_bytes=sum(report["example_bytes"] for report in reports),
        filename_template=None,
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".metadata.") as name:
        hidden = Path(name)
        # TFDS parses the names of dataset, split and format from the name of a file.
        placeholder = hidden / shard_name(0, len(reports))
        placeholder.touch()
        tfds.folder_dataset.write_metadata(
            data_dir=hidden,
            features=features,
            split_infos=[split],
            version=VERSION,
            # TFDS's check needs TensorFlow.
            check_data=False,
            description=_DESCRIPTION,
            homepage="https://ai.meta.com/datasets/segment-anything/",
        )
        placeholder.unlink()
        # Readers recognize a dataset by dataset_info.json, so it is written last.
        names = sorted(os.listdir(hidden), key=lambda name: name == "dataset_info.json")
        for name in names:
            os.replace(hidden / name, folder / name)


_DESCRIPTION = f"""\
SA-1B in the features of TFDS's {DATASET}, written by samjax. Images may be smaller copies;
image/height, image/width and all masks are of the original's size.
"""
