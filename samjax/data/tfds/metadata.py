"""The end of a build: TFDS's metadata, once every shard is there, and a sum of all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from samjax.data.tfds.layout import SPLIT, Plan, Report, read_report, shard_name
from samjax.data.tfds.schema import DATASET, VERSION, tfds_features


class Totals(NamedTuple):
    """Sums over reports.

    Attributes:
        shards: That are done.
        images: In them.
        masks: Of these.
        bad_images: That were left out.
        bad_masks: That were left out of images that were not.
        damaged_tars: Names of tars that are cut off or worse.
        bytes: Of the shards' files.
    """

    shards: int
    images: int
    masks: int
    bad_images: int
    bad_masks: int
    damaged_tars: list[str]
    bytes: int


def add_up(reports: Iterable[Report]) -> Totals:
    """Returns the sums of reports."""
    reports = list(reports)
    return Totals(
        shards=len(reports),
        images=sum(report["written"] for report in reports),
        masks=sum(report["masks"] for report in reports),
        bad_images=sum(len(report["bad"]) for report in reports),
        bad_masks=sum(
            len(bad) for report in reports for bad in report["bad_masks"].values()
        ),
        damaged_tars=sorted({one["tar"] for one in reports if one["damage"]}),
        bytes=sum(report["bytes"] for report in reports),
    )


def finish(plan: Plan) -> Totals:
    """Writes the metadata of a dataset if all of its shards are there.

    Whoever builds calls this at the end; several may, and write the same.

    Returns:
        The sums of all shards that are there, by whomever.

    Raises:
        ValueError: all shards are there, and none has an image.
        ImportError: TFDS is missing.
    """
    found = (read_report(plan, number) for number in range(plan.num_shards))
    reports = [report for report in found if report is not None]
    totals = add_up(reports)
    if totals.shards == plan.num_shards:
        write_metadata(plan.folder, reports)
    return totals


def write_metadata(folder: Path, reports: list[Report]) -> None:
    """Writes TFDS's metadata of a dataset to a folder.

    Args:
        folder: For the metadata; the shards need not be there.
        reports: Of all shards, in order.

    Raises:
        ValueError: no shard has an image.
        ImportError: TFDS is missing.
        OSError: the folder cannot be written.
    """
    if not add_up(reports).images:
        raise ValueError(
            f"none of {len(reports)} shards has an image: the reports beside them have "
            "what is wrong with each image"
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
        # TFDS takes the names of the dataset, the split and the format from a file's.
        stand_in = hidden / shard_name(0, len(reports))
        stand_in.touch()
        tfds.folder_dataset.write_metadata(
            data_dir=hidden,
            features=features,
            split_infos=[split],
            version=VERSION,
            # The check of TFDS reads through tensorflow.
            check_data=False,
            description=_DESCRIPTION,
            homepage="https://ai.meta.com/datasets/segment-anything/",
        )
        stand_in.unlink()
        # Readers look for the information, so it comes last.
        names = sorted(os.listdir(hidden), key=lambda name: name == "dataset_info.json")
        for name in names:
            os.replace(hidden / name, folder / name)


_DESCRIPTION = f"""\
SA-1B in the features of TFDS's {DATASET}, written by samjax. Images may be smaller copies;
image/height, image/width and all masks are of the original's size.
"""
