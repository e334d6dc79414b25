"""COCO files of published datasets, which differ in names of files and rings of polygons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.formats.coco_masks import bad_rings, read_mask
from samjax.evaluation.datasets.entries import Entries, Entry, Loaded
from samjax.evaluation.datasets.photo_sets import Photo, read_photo_set
from samjax.geometry.masks import counts_to_mask, mask_to_counts

Change = Callable[[dict[str, Any]], None]


def coco_entries(
    path: Path,
    *files: str,
    images: str | None = None,
    change: Change | None = None,
) -> Entries:
    """Lists the photos of a COCO file.

    Args:
        path: The folder of the dataset, or the file.
        *files: Where the file is below the folder; the first that is there is read. If
            there is none, it is searched for as in any set of photos.
        images: Folder of the photos beside the file; None searches for it, and so does
            a folder that is not there.
        change: Changes the content of the file before it is read.

    Raises:
        ValueError: It is no such file, or has no object.
        OSError: It is not there or cannot be read.
    """
    file = next((path / name for name in files if (path / name).is_file()), path)
    folder = None if images is None else file.parent / images
    photo_set = read_photo_set(
        file,
        images=folder if folder is not None and folder.is_dir() else None,
        change=change,
    )
    return Entries(
        [Entry(photo.name, _Load(photo)) for photo in photo_set.photos],
        photo_set.skipped,
    )


def name_by_url(content: dict[str, Any]) -> None:
    """Names the photos of LVIS by the folder and file of their `coco_url`.

    LVIS v1 takes photos from several folders of COCO, which only the address tells.
    Names of v0.5 are those of COCO 2014, COCO_val2014_000000000139.jpg, for photos of
    2017, whose names are the last 16 characters.
    """
    for entry in _dicts(content["images"]):
        url, name = entry.get("coco_url"), entry.get("file_name")
        if isinstance(url, str) and url.count("/") >= 2:
            name = "/".join(url.split("/")[-2:])
        if isinstance(name, str):
            plain = name.rpartition("/")[2]
            if plain.startswith("COCO_"):
                split = "val2017" if plain.startswith("COCO_val") else "train2017"
                name = f"{split}/{plain[-16:]}"
            entry["file_name"] = name


def fill_by_even_odd(content: dict[str, Any]) -> None:
    """Restores holes that stand as further rings of a mask's polygons.

    Readers unite the rings of a mask, which fills its holes. Masks with damaged rings
    are left to the reader, which reports them.
    """
    sizes = {
        entry.get("id"): (entry.get("height"), entry.get("width"))
        for entry in _dicts(content["images"])
    }
    for entry in _dicts(content["annotations"]):
        rings = entry.get("segmentation")
        height, width = sizes.get(entry.get("image_id"), (None, None))
        if (
            not isinstance(rings, list)
            or len(rings) < 2
            or not all(isinstance(ring, list) for ring in rings)
            or not isinstance(height, int)
            or not isinstance(width, int)
            or bad_rings(rings)
        ):
            continue
        try:
            masks = [
                counts_to_mask(
                    read_mask([ring], (height, width), "ring")[0], (height, width)
                )
                for ring in rings
            ]
        except ValueError:
            continue
        counts = mask_to_counts(np.logical_xor.reduce(masks))
        entry["segmentation"] = {"size": [height, width], "counts": counts.tolist()}


class _Load:
    """Returns a photo of which the masks were read with the file."""

    def __init__(self, photo: Photo):
        self.photo = photo

    def __call__(self) -> Loaded:
        return Loaded(self.photo)


def _dicts(entries: Any) -> list[dict[str, Any]]:
    return [entry for entry in entries if isinstance(entry, dict)]
