"""Sets of photos with masks to measure on: a folder with a COCO file and its photos.

Beside COCO's instances a set may have regions whose truth is unknown, annotations of the
category `ignore`, which no score counts, and photos of a sibling set, `../NAME/...`.
Annotations that cover many objects at once (`iscrowd`) and those without a mask
(`box_only`) are no objects. All that is damaged is left out, and named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
from samjax.geometry.masks import counts_to_mask

IGNORE = "ignore"
"""The category of regions that no score counts."""


class Skipped(NamedTuple):
    """A part of a set that is left out.

    Attributes:
        name: The photo, or the annotation and its photo.
        reason: A few words that are the same for all parts left out for it.
        detail: The error.
    """

    name: str
    reason: str
    detail: str = ""


class PhotoObject(NamedTuple):
    """An object of a photo.

    Attributes:
        number: The id of its annotation.
        category: The name of its category.
        counts: The run lengths of its mask.
    """

    number: int
    category: str
    counts: Int[np.ndarray, " r"]

    @property
    def area(self) -> int:
        """Pixels of its mask."""
        return int(self.counts[1::2].sum())


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo of which nothing but the annotations is read.

    Attributes:
        name: Its file name in the set.
        path: Where it is.
        size: (h, w) of its masks.
        objects: Its objects.
        ignored: Run lengths of the regions that no score counts.
        frame: On which pixels its masks lie, where its set says so.
    """

    name: str
    path: Path
    size: tuple[int, int]
    objects: tuple[PhotoObject, ...]
    ignored: tuple[Int[np.ndarray, " r"], ...] = ()
    frame: FrameName | None = None

    def read(self) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes the photo, upright by its EXIF orientation.

        Masks of a photo that lies on its side may be those of the pixels as stored: its
        set says so, or of the two the photo is that whose size is the masks'.

        Raises:
            ValueError: It is missing, damaged, or of another size than its masks.
        """
        try:
            data = read_file(self.path)
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
        """Decodes the masks of its objects."""
        masks = [counts_to_mask(one.counts, self.size) for one in self.objects]
        return np.array(masks, bool).reshape(len(masks), *self.size)

    def ignored_pixels(self) -> Bool[np.ndarray, "h w"] | None:
        """Decodes the regions that no score counts; None where there are none."""
        if not self.ignored:
            return None
        masks = [counts_to_mask(counts, self.size) for counts in self.ignored]
        return np.logical_or.reduce(masks)


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """A set of photos with masks.

    Attributes:
        name: The name of its folder.
        photos: Those with an object.
        skipped: Parts of the annotations that are left out.
    """

    name: str
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()


def read_photo_set(path: str | os.PathLike) -> PhotoSet:
    """Reads the annotations of a set; photos are read when their turn comes.

    Args:
        path: A folder with a COCO file and its photos, as `samjax.data.finetune` looks
            for them, or the file.

    Raises:
        ValueError: It is no such set, or has no object.
        OSError: It is not there or cannot be read.
    """
    path = Path(path)
    file = annotation_file(path)
    content = read_content(file)
    categories = _categories(content)
    skipped: list[Skipped] = []
    entries = _by_image(content, skipped)
    found: dict[str, dict[str, Any]] = {}
    for entry in content["images"]:
        try:
            name, size = _photo_of(entry)
        except ValueError as error:
            skipped.append(Skipped("an image of the file", "damaged entry", str(error)))
            continue
        objects, ignored = [], []
        for annotation in entries.pop(entry.get("id"), []):
            one = _object(annotation, name, size, categories)
            if isinstance(one, Skipped):
                skipped.append(one)
            elif one.category == IGNORE:
                ignored.append(one.counts)
            else:
                objects.append(one)
        if objects:
            found[name] = {
                "size": size,
                "objects": tuple(objects),
                "ignored": tuple(ignored),
                "frame": declared_frame(entry, content.get("info")),
            }
    if not found:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:3])
        raise ValueError(
            f"{file}: got no object with a mask{': ' if reasons else ''}{reasons}, "
            "expected COCO's annotations of instances"
        )
    folder, cut = image_folder(file, list(found))
    photos = tuple(
        Photo(name=name, path=folder / without_folders(name, cut), **of_photo)
        for name, of_photo in found.items()
    )
    name = (path if path.is_dir() else path.parent).resolve().name
    return PhotoSet(name=name, photos=photos, skipped=tuple(skipped))


def _categories(content: Mapping[str, Any]) -> dict[Any, str]:
    listed = content.get("categories")
    return {
        one["id"]: str(one.get("name", one["id"]))
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, Mapping) and type(one.get("id")) is int
    }


def _by_image(
    content: Mapping[str, Any], skipped: list[Skipped]
) -> dict[Any, list[Mapping[str, Any]]]:
    """The annotations of every image; those of no image are skipped."""
    of_image: dict[Any, list[Mapping[str, Any]]] = {
        entry["id"]: []
        for entry in content["images"]
        if isinstance(entry, Mapping) and type(entry.get("id")) is int
    }
    for number, entry in enumerate(content.get("annotations", [])):
        image = entry.get("image_id") if isinstance(entry, Mapping) else None
        if type(image) is int and image in of_image:
            of_image[image].append(entry)
        else:
            skipped.append(
                Skipped(
                    f"annotation {number} of the file",
                    "damaged entry",
                    f"got the image {ascii(image)[:40]}, expected one of the file's",
                )
            )
    return of_image


def _photo_of(entry: Any) -> tuple[str, tuple[int, int]]:
    """The name and the size of an image."""
    number = entry.get("id") if isinstance(entry, Mapping) else None
    place = f"image {ascii(number)[:40]}"
    if type(number) is not int:
        raise ValueError(f"{place}: expected an integer as its id")
    name = entry.get("file_name")
    parts: list[Any] = name.split("/") if isinstance(name, str) else [name]
    # A sibling set may have the photo, but nothing farther away.
    inside = parts[1:] if parts[0] == ".." and len(parts) > 2 else parts
    for part in inside:
        check_file_name(part, place)
    return str(name), check_size(entry.get("height"), entry.get("width"), place)


def _object(
    entry: Mapping[str, Any],
    photo: str,
    size: tuple[int, int],
    categories: Mapping[Any, str],
) -> PhotoObject | Skipped:
    """Reads an annotation; regions to ignore are objects of that category."""
    number = entry.get("id")
    name = f"annotation {ascii(number)[:40]} of {photo}"
    if type(number) is not int:
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
    return PhotoObject(number, category, counts)
