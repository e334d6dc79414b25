"""Annotations without their photos: COCO files, and folders of SA-1B's records.

For suites that look at masks alone. The pixels of a sample are zeros that take no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samjax.data.finetune.coco import annotation_file
from samjax.data.folders import list_files
from samjax.data.formats.coco import read_coco
from samjax.data.formats.coco_content import read_content
from samjax.data.formats.sa1b import read_folder
from samjax.data.schema import Record
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.selection import spread
from samjax.geometry.masks import decode_rle


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordSamples:
    """Records of masks as a `Dataset`.

    Attributes:
        name: Name of the folder.
        records: The records of the images.
        skipped: Parts that were left out when the annotations were read.
    """

    name: str
    records: Sequence[Record]
    skipped: Sequence[Skipped] = ()
    small: int = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        record = self.records[index]
        info = record["image"]
        size, name = (info["height"], info["width"]), info["file_name"]
        try:
            masks = [
                decode_rle(annotation["segmentation"])
                for annotation in record["annotations"]
            ]
        except ValueError as error:
            return Skipped(name, "damaged masks", f"{name}: {error}")
        if any(mask.shape != size for mask in masks):
            return Skipped(
                name, "masks of another size", f"{name}: expected masks of {size}"
            )
        own = [number for number, mask in enumerate(masks) if mask.any()]
        ids = [annotation["id"] for annotation in record["annotations"]]
        return Sample(
            name=name,
            image=np.broadcast_to(np.zeros(1, np.uint8), (*size, 3)),
            targets=np.array([masks[i] for i in own], bool).reshape(-1, *size),
            objects=[
                {
                    "photo": name,
                    "annotation": ids[number],
                    "area": int(np.count_nonzero(masks[number])),
                }
                for number in own
            ],
            skipped=[
                Skipped(f"annotation {ids[number]} of {name}", "no pixel")
                for number in range(len(masks))
                if number not in own
            ],
        )


def open_records(path: Path, images: int | None = None) -> RecordSamples:
    """Reads annotations; damaged ones are left out and listed.

    Args:
        path: A COCO file, a folder with one, or a folder with a record of SA-1B per
            image.
        images: Most images, spread evenly over the set; None for all.

    Raises:
        ValueError: It is neither, or has no image.
        OSError: It is not there or cannot be read.
    """
    problems: list[ValueError] = []
    if path.is_dir() and not _has_coco_file(path):
        records = [record for _, record in read_folder(path, problems=problems.append)]
    else:
        file = annotation_file(path)
        records = list(read_coco(file, problems=problems.append))
    if not records:
        raise ValueError(
            f"{path}: got no record of masks, expected a COCO file or SA-1B's files"
            f"{f': {problems[0]}' if problems else ''}"
        )
    chosen = [records[index] for index in spread(len(records), images)]
    return RecordSamples(
        name=(path if path.is_dir() else path.parent).resolve().name,
        records=chosen,
        skipped=[
            Skipped("an annotation or record", "damaged entry", str(problem))
            for problem in problems
        ],
    )


def _has_coco_file(path: Path) -> bool:
    """Whether a folder has a COCO file: SA-1B's records have one image each."""
    if (path / "annotations.json").is_file() or (path / "annotations").is_dir():
        return True
    files = list_files(path, ".json")
    if len(files) != 1:
        return False
    try:
        read_content(files[0])
    except ValueError:
        return False
    return True
