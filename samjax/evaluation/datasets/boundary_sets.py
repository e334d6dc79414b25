"""Sets of photos with boundary maps, such as BSDS500.

Two layouts are read:

    BSDS500 as distributed     data/images/SPLIT/ID.jpg, data/groundTruth/SPLIT/ID.mat;
                               the folder itself, `BSDS500` in it, or `data`
    a COCO file                `annotations.json` whose images have a `split`, the number
                               of `annotators`, and the path of their `boundaries`, a
                               PNG file of which bit k is annotator k's map

Damaged parts are left out and listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samjax.data.finetune.reading import read_file
from samjax.data.folders import SUFFIXES
from samjax.data.formats.coco_content import read_content
from samjax.data.formats.guards import check_path, whole_number
from samjax.data.whole_images import read_rgb
from samjax.evaluation.datasets.boundary_maps import read_boundaries
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.selection import spread

BOUNDARIES = "boundaries"
"""The boundary maps of the annotators (a, h, w) in `Sample.truth`."""

SPLITS = ("test", "val", "train")


class _Photo(NamedTuple):
    """A photo of a set; `annotators` is None where the file of boundaries tells it."""

    name: str
    image: Path
    boundaries: Path
    annotators: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundarySet:
    """Photos with boundary maps as a `Dataset`, without objects to segment.

    Attributes:
        name: Name of the folder.
        photos: The photos.
        skipped: Parts that were left out when the set was opened.
    """

    name: str
    photos: Sequence[_Photo]
    skipped: Sequence[Skipped] = ()
    small: int = 0

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        photo = self.photos[index]
        try:
            data = read_file(photo.image)
        except ValueError as error:
            return Skipped(photo.name, "missing photo", f"{photo.name}: {error}")
        try:
            # BSDS500's photos have no orientation.
            image = read_rgb(data, photo.name)
        except ValueError as error:
            return Skipped(photo.name, "damaged photo", str(error))
        if not photo.boundaries.is_file():
            detail = f"{photo.name}: there is no file {photo.boundaries}"
            return Skipped(photo.name, "missing boundary maps", detail)
        try:
            boundaries = read_boundaries(photo.boundaries, photo.annotators)
        except ValueError as error:
            detail = f"{photo.name}: {photo.boundaries.name}: {error}"
            return Skipped(photo.name, "damaged boundary maps", detail)
        if boundaries.shape[1:] != image.shape[:2]:
            detail = (
                f"{photo.name}: got a photo of {image.shape[:2]} with boundary maps of "
                f"{boundaries.shape[1:]} (height, width), expected one size"
            )
            return Skipped(photo.name, "boundary maps of another size", detail)
        return Sample(
            name=photo.name,
            image=image,
            targets=np.zeros((0, *image.shape[:2]), bool),
            objects=(),
            truth={BOUNDARIES: boundaries},
        )


def open_boundary_set(
    path: Path, *, split: str = "test", images: int | None = None
) -> BoundarySet:
    """Opens a set of photos with boundary maps.

    Args:
        path: Its folder, in one of the layouts of this module.
        split: The split to read; photos of a file without splits belong to every one.
        images: Most photos, spread evenly over the set; None for all.

    Raises:
        ValueError: It is no such set, or has no photo of the split.
        OSError: It is not there or cannot be read.
    """
    if (path / "annotations.json").is_file() or path.suffix.lower() == ".json":
        file = path if path.is_file() else path / "annotations.json"
        photos, skipped = _from_file(file, split)
        name = file.resolve().parent.name
    else:
        photos, skipped = _from_folders(path, split)
        name = path.resolve().name
    if not photos:
        reasons = "; ".join(f"{part.name}: {part.reason}" for part in skipped[:3])
        raise ValueError(
            f"{path}: got no photo of the split {split} with boundary maps"
            f"{': ' if reasons else ''}{reasons}"
        )
    chosen = [photos[index] for index in spread(len(photos), images)]
    return BoundarySet(name=name, photos=tuple(chosen), skipped=tuple(skipped))


def _from_folders(path: Path, split: str) -> tuple[list[_Photo], list[Skipped]]:
    """Lists the photos of BSDS500 as distributed, by name."""
    folders = (path / "BSDS500" / "data", path / "data", path)
    data = next((part for part in folders if (part / "groundTruth").is_dir()), None)
    if data is None:
        path.stat()
        raise ValueError(
            f"{path}: expected BSDS500, a folder with data/images and data/groundTruth, "
            "or a folder with annotations.json whose images have boundaries"
        )
    images, truths = data / "images" / split, data / "groundTruth" / split
    if not images.is_dir():
        return [], []
    photos = [
        _Photo(file.name, file, truths / f"{file.stem}.mat")
        for file in sorted(images.iterdir())
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    stems = {Path(photo.name).stem for photo in photos}
    alone = [file for file in sorted(truths.glob("*.mat")) if file.stem not in stems]
    return photos, [
        Skipped(file.name, "missing photo", f"{file}: there is no photo of this name")
        for file in alone
    ]


def _from_file(file: Path, split: str) -> tuple[list[_Photo], list[Skipped]]:
    """Lists the photos of a COCO file in its order."""
    photos: dict[str, _Photo] = {}
    skipped: list[Skipped] = []
    for entry in read_content(file)["images"]:
        if entry.get("split") not in (None, split):
            continue
        try:
            photo = _photo_of(entry, file.parent)
            if photo.name in photos:
                raise ValueError(f"{photo.name}: it is listed twice")
        except ValueError as error:
            skipped.append(Skipped("an image of the file", "damaged entry", str(error)))
            continue
        photos[photo.name] = photo
    return list(photos.values()), skipped


def _photo_of(entry: dict[str, Any], folder: Path) -> _Photo:
    label = f"image {ascii(entry.get('id'))[:40]}"
    name = check_path(entry.get("file_name"), label)
    if "boundaries" not in entry:
        raise ValueError(f"{name}: expected the path of its boundaries")
    boundaries = check_path(entry["boundaries"], f"{name}: boundaries")
    annotators = entry.get("annotators")
    if annotators is not None:
        annotators = whole_number(annotators)
        if annotators is None or not 0 < annotators <= 16:
            got = ascii(entry["annotators"])[:40]
            raise ValueError(f"{name}: got {got} annotators, expected 1 to 16")
    return _Photo(name, folder / name, folder / boundaries, annotators)
