"""Sets of photos with masks: a folder with a COCO file and its photos.

Beside COCO's instances a set may have regions of unknown truth, annotations of the
category `ignore`, which no score counts, and photos of a sibling set, `../NAME/...`.
Annotations that cover many objects at once (`iscrowd`) and those without a mask
(`box_only`) are no objects. Damaged parts are left out and listed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from samjax.data.finetune.coco import (
    annotation_file,
    image_folder,
    without_folders,
)
from samjax.data.finetune.reading import read_file
from samjax.data.formats.coco_content import read_content
from samjax.data.formats.coco_masks import read_mask
from samjax.data.formats.guards import check_file_name, check_size
from samjax.data.orientation import FrameName, declared_frame
from samjax.data.whole_images import read_in_frame
from samjax.evaluation.datasets.dataset import Skipped
from samjax.geometry.masks import counts_to_mask

IGNORE = "ignore"
"""Category of regions that no score counts."""


class PhotoObject(NamedTuple):
    """An object of a photo.

    Attributes:
        annotation_id: Id of the annotation.
        category: Name of the category.
        counts: Run lengths of the mask.
    """

    annotation_id: int
    category: str
    counts: Int[np.ndarray, " _"]

    @property
    def area(self) -> int:
        """Number of pixels of the mask."""
        return int(self.counts[1::2].sum())


@dataclass(frozen=True, kw_only=True)
class Photo:
    """The annotations of a photo, whose pixels are decoded on demand.

    Attributes:
        name: File name in the set.
        path: Path of the file.
        size: (h, w) of the masks.
        objects: The objects.
        ignored: Run lengths of the regions that no score counts.
        frame: The pixels that masks lie on, upright or as stored; None if the set does
            not declare it.
        read_bytes: Reads the file in place of `path`, such as from an archive; a
            ValueError says why it cannot.
    """

    name: str
    path: Path
    size: tuple[int, int]
    objects: tuple[PhotoObject, ...]
    ignored: tuple[Int[np.ndarray, " _"], ...] = ()
    frame: FrameName | None = None
    read_bytes: Callable[[], bytes] | None = None

    def read(self) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes the photo, turned upright by its EXIF orientation.

        It is left as stored if its masks lie on these pixels: if the set declares so, or
        if only that orientation has the size of the masks.

        Raises:
            ValueError: It is missing, damaged, or of another size than its masks.
        """
        try:
            data = self.read_bytes() if self.read_bytes else read_file(self.path)
        except ValueError as error:
            raise ValueError(
                f"{self.name}: the photo is missing or cannot be read: {error}"
            ) from error
        try:
            pixels = read_in_frame(data, self.size, self.frame)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if pixels.shape[:2] != self.size:
            raise ValueError(
                f"{self.name}: got a photo of {pixels.shape[:2]} with masks of "
                f"{self.size} (height, width), expected one size"
            )
        return pixels

    def masks(self) -> Bool[np.ndarray, "k h w"]:
        """Decodes the masks of the objects."""
        masks = [counts_to_mask(entry.counts, self.size) for entry in self.objects]
        return np.array(masks, bool).reshape(len(masks), *self.size)

    def ignored_pixels(self) -> Bool[np.ndarray, "h w"] | None:
        """Decodes the regions that no score counts; None without any."""
        if not self.ignored:
            return None
        masks = [counts_to_mask(counts, self.size) for counts in self.ignored]
        return np.logical_or.reduce(masks)


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """A set of photos with masks.

    Attributes:
        name: Name of its folder.
        photos: The photos with an object.
        skipped: Parts of the annotations that are left out.
    """

    name: str
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()


def read_photo_set(
    path: str | os.PathLike,
    *,
    images: Path | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> PhotoSet:
    """Reads the annotations of a set; photos are decoded on demand.

    Args:
        path: A folder with a COCO file and its photos, as `samjax.data.finetune` looks
            for them, or the file.
        images: Folder of the photos; None searches for it.
        change: Is called with the content of the file, to change it before it is read.

    Raises:
        ValueError: It is no such set, or has no object.
        OSError: It is not there or cannot be read.
    """
    path = Path(path)
    file = annotation_file(path)
    content = read_content(file)
    if change is not None:
        change(content)
    categories = _categories(content)
    skipped: list[Skipped] = []
    entries = _by_image(content, skipped)
    by_name: dict[str, dict[str, Any]] = {}
    for entry in content["images"]:
        try:
            name, size = _photo_of(entry)
        except ValueError as error:
            skipped.append(Skipped("an image of the file", "damaged entry", str(error)))
            continue
        objects, ignored = [], []
        for annotation in entries.pop(entry.get("id"), []):
            entry_read = _object(annotation, name, size, categories)
            if isinstance(entry_read, Skipped):
                skipped.append(entry_read)
            elif entry_read.category == IGNORE:
                ignored.append(entry_read.counts)
            else:
                objects.append(entry_read)
        if objects:
            by_name[name] = {
                "size": size,
                "objects": tuple(objects),
                "ignored": tuple(ignored),
                "frame": declared_frame(entry, content.get("info")),
            }
    if not by_name:
        reasons = "; ".join(f"{part.name}: {part.reason}" for part in skipped[:3])
        raise ValueError(
            f"{file}: got no object with a mask{': ' if reasons else ''}{reasons}, "
            "expected COCO's annotations of instances"
        )
    folder, cut = (images, 0) if images else image_folder(file, list(by_name))
    photos = tuple(
        Photo(name=name, path=folder / without_folders(name, cut), **of_photo)
        for name, of_photo in by_name.items()
    )
    name = (path if path.is_dir() else path.parent).resolve().name
    return PhotoSet(name=name, photos=photos, skipped=tuple(skipped))


def _categories(content: Mapping[str, Any]) -> dict[Any, str]:
    listed = content.get("categories")
    return {
        entry["id"]: str(entry.get("name", entry["id"]))
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, Mapping) and type(entry.get("id")) is int
    }


def _by_image(
    content: Mapping[str, Any], skipped: list[Skipped]
) -> dict[Any, list[Mapping[str, Any]]]:
    """Groups the annotations by image id; those of no image are skipped."""
    of_image: dict[Any, list[Mapping[str, Any]]] = {
        entry["id"]: []
        for entry in content["images"]
        if isinstance(entry, Mapping) and type(entry.get("id")) is int
    }
    for index, entry in enumerate(content.get("annotations", [])):
        image = entry.get("image_id") if isinstance(entry, Mapping) else None
        if type(image) is int and image in of_image:
            of_image[image].append(entry)
        else:
            skipped.append(
                Skipped(
                    f"annotation {index} of the file",
                    "damaged entry",
                    f"got the image {ascii(image)[:40]}, expected one of the file's",
                )
            )
    return of_image


def _photo_of(entry: Any) -> tuple[str, tuple[int, int]]:
    """Returns the name and the size of an image."""
    image_id = entry.get("id") if isinstance(entry, Mapping) else None
    label = f"image {ascii(image_id)[:40]}"
    if type(image_id) is not int:
        raise ValueError(f"{label}: expected an integer as its id")
    name = entry.get("file_name")
    parts: list[Any] = name.split("/") if isinstance(name, str) else [name]
    # The photo may be in a sibling folder, but nowhere else outside: names come from
    # an untrusted file.
    inside = parts[1:] if parts[0] == ".." and len(parts) > 2 else parts
    for part in inside:
        check_file_name(part, label)
    return str(name), check_size(entry.get("height"), entry.get("width"), label)


def _object(
    entry: Mapping[str, Any],
    photo: str,
    size: tuple[int, int],
    categories: Mapping[Any, str],
) -> PhotoObject | Skipped:
    """Reads an annotation; regions to ignore are objects of that category."""
    annotation_id = entry.get("id")
    name = f"annotation {ascii(annotation_id)[:40]} of {photo}"
    if type(annotation_id) is not int:
        return Skipped(name, "damaged entry", "expected an integer as its id")
    category = categories.get(entry.get("category_id"), "")
    if entry.get("box_only") or not entry.get("segmentation"):
        return Skipped(name, "no mask")
    if entry.get("iscrowd") and category != IGNORE:
        return Skipped(name, "covers many objects (iscrowd)")
    try:
        counts, _ = read_mask(entry["segmentation"], size, name)
    except ValueError as error:
        return Skipped(name, "damaged mask", str(error))
    return PhotoObject(annotation_id, category, counts)
