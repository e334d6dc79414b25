"""Sets of photos with the ground truth of detections: files of COCO and of LVIS.

Unlike `photo_sets` every annotation counts, crowds among them, categories keep their ids,
and images without an annotation stay. LVIS's file also says of each image which
categories are absent (`neg_category_ids`) or not annotated exhaustively
(`not_exhaustive_category_ids`), and how frequent a category is. Annotations are decoded
image by image; damaged parts are left out and listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from samjax.data.finetune.coco import (
    annotation_file,
    image_folder,
    without_folders,
)
from samjax.data.formats.coco_content import read_content
from samjax.data.formats.coco_masks import are_numbers, is_number, read_mask
from samjax.data.formats.guards import check_path, check_size, whole_number
from samjax.data.orientation import declared_frame
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.photo_sets import IGNORE, Photo
from samjax.evaluation.datasets.selection import spread
from samjax.evaluation.detections import Annotated, rle_of_counts
from samjax.geometry.masks import counts_to_mask, encode_rle, run_lengths

ANNOTATIONS = "annotations"
"""The annotations of an image in `Sample.truth`: `Annotated` and box, in JSON's types."""

IMAGE = "image"
"""Id, categories and frequencies of an image in `Sample.truth`."""

BOXES = "boxes"
"""Boxes of a detector in `Sample.truth`: category_id, bbox (XYWH in pixels), score."""

MASKS = "masks"
"""Saved masks of a model in `Sample.truth`: category_id, segmentation, score."""

FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}
"""LVIS's groups of categories, by the number of training images."""


def annotated_of(sample: Sample) -> list[Annotated]:
    """Returns the ground truth of an image: that of a detection set, or its objects.

    The objects of the sample are those that are no crowds, in this order.

    Args:
        sample: The image.
    """
    if ANNOTATIONS not in sample.truth:
        return [
            Annotated(encode_rle(target), float(target.sum()))
            for target in sample.targets
        ]
    return [
        Annotated(
            entry["segmentation"], entry["area"], entry["category_id"], entry["crowd"]
        )
        for entry in sample.truth[ANNOTATIONS]
    ]


def image_of(sample: Sample) -> Mapping[str, Any]:
    """Returns what a detection set knows of an image; nothing for other datasets.

    Args:
        sample: The image.
    """
    return sample.truth.get(IMAGE, {})


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionSet:
    """A COCO or LVIS file with its photos, as a `Dataset`.

    Attributes:
        name: Name of its folder.
        images: The entries of the images, with `name` and `size`.
        entries: The annotations by id of the image.
        categories: The categories by id.
        paths: Paths of the photos by name.
        skipped: Parts that were left out when the file was read.
        boxes: Boxes of a detector by id of the image; None without a detector.
        masks: Saved masks of a model by id of the image; None without.
    """

    name: str
    images: Sequence[Mapping[str, Any]]
    entries: Mapping[int, Sequence[Mapping[str, Any]]]
    categories: Mapping[int, Mapping[str, Any]]
    paths: Mapping[str, Path]
    skipped: Sequence[Skipped] = ()
    boxes: Mapping[int, Sequence[Mapping[str, Any]]] | None = None
    masks: Mapping[int, Sequence[Mapping[str, Any]]] | None = None
    small: int = field(default=0, init=False)

    @property
    def has_frequencies(self) -> bool:
        """Whether the file is LVIS's: categories have a frequency."""
        return any(entry.get("frequency") for entry in self.categories.values())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        entry = self.images[index]
        name, size = entry["name"], entry["size"]
        photo = Photo(
            name=name,
            path=self.paths[name],
            size=size,
            objects=(),
            frame=declared_frame(entry),
        )
        try:
            pixels = photo.read()
        except ValueError as error:
            return Skipped(name, "damaged or missing photo", str(error))
        skipped: list[Skipped] = []
        truth = []
        for annotation in self.entries.get(entry["id"], ()):
            read = _annotation(annotation, name, size, self.categories)
            if isinstance(read, Skipped):
                skipped.append(read)
            else:
                truth.append(read)
        objects = [annotated for annotated in truth if not annotated["crowd"]]
        masks = [
            counts_to_mask(run_lengths(annotated["segmentation"]), size)
            for annotated in objects
        ]
        sample_truth: dict[str, Any] = {
            ANNOTATIONS: truth,
            IMAGE: self._of_image(entry, truth),
        }
        for key, found in ((BOXES, self.boxes), (MASKS, self.masks)):
            if found is not None:
                sample_truth[key] = list(found.get(entry["id"], ()))
        return Sample(
            name=name,
            image=pixels,
            targets=np.array(masks, bool).reshape(len(masks), *size),
            objects=[
                {
                    "photo": name,
                    "annotation": annotated["id"],
                    "category": self.categories[annotated["category_id"]].get("name"),
                    "area": annotated["area"],
                }
                for annotated in objects
            ],
            truth=sample_truth,
            skipped=skipped,
        )

    def _of_image(
        self, entry: Mapping[str, Any], truth: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Returns what metrics need to know of an image beside its annotations."""
        of_image: dict[str, Any] = {"id": entry["id"]}
        if self.has_frequencies:
            present = sorted({annotated["category_id"] for annotated in truth})
            of_image["frequencies"] = {
                str(category): self.categories[category].get("frequency")
                for category in present
            }
            for name in ("negative", "not_exhaustive"):
                listed = entry.get(
                    {"negative": "neg"}.get(name, name) + "_category_ids"
                )
                of_image[name] = listed if isinstance(listed, list) else []
        return of_image


def open_detection_set(
    path: Path, *, images: int | None = None, with_objects: bool = False
) -> DetectionSet:
    """Opens a COCO or LVIS file; photos and masks are decoded on demand.

    Args:
        path: The file, or a folder with it and its photos.
        images: Most photos, spread evenly over the set; None for all.
        with_objects: Whether photos without an annotation are left out, uncounted.

    Raises:
        ValueError: It is no such file, or has no image.
        OSError: It is not there or cannot be read.
    """
    file = annotation_file(path)
    content = read_content(file)
    skipped: list[Skipped] = []
    categories = _categories(content)
    found = _images(content, skipped)
    entries = _by_image(content, found, skipped)
    if with_objects:
        found = {
            image: entry
            for image, entry in found.items()
            if any(not _is_crowd(part, categories) for part in entries[image])
        }
    if not found:
        raise ValueError(f"{file}: got no image with an annotation, expected some")
    chosen = list(found.values())
    chosen = [chosen[index] for index in spread(len(chosen), images)]
    names = [entry["name"] for entry in chosen]
    folder, cut = image_folder(file, names)
    return DetectionSet(
        name=(path if path.is_dir() else path.parent).resolve().name,
        images=tuple(chosen),
        entries=entries,
        categories=categories,
        paths={name: folder / without_folders(name, cut) for name in names},
        skipped=tuple(skipped),
    )


def _categories(content: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    listed = content.get("categories")
    return {
        entry["id"]: entry
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, Mapping) and type(entry.get("id")) is int
    }


def _images(
    content: Mapping[str, Any], skipped: list[Skipped]
) -> dict[int, dict[str, Any]]:
    """Returns the images by id, in the order of the file."""
    found: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    for entry in content["images"]:
        image = entry.get("id") if isinstance(entry, Mapping) else None
        label = f"image {ascii(image)[:40]}"
        try:
            if type(image) is not int:
                raise ValueError(f"{label}: expected an integer as its id")
            name = _name(entry, label)
            if image in found or name in names:
                raise ValueError(f"{label}, {name}: its id or file is listed twice")
            size = check_size(entry.get("height"), entry.get("width"), label)
        except ValueError as error:
            skipped.append(Skipped("an image of the file", "damaged entry", str(error)))
            continue
        frame = declared_frame(entry, content.get("info"))
        found[image] = {**entry, "name": name, "size": size, "frame": frame}
        names.add(name)
    return found


def _name(entry: Mapping[str, Any], label: str) -> str:
    """Returns the path of a photo; LVIS v1 has its address in place of a file name."""
    name = entry.get("file_name")
    if name is None and isinstance(address := entry.get("coco_url"), str):
        name = "/".join(address.split("/")[-2:])
    # The photo may be in the set beside this one, but nowhere else outside.
    inside = name.removeprefix("../") if isinstance(name, str) else name
    check_path(inside, label)
    return str(name)


def _by_image(
    content: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    skipped: list[Skipped],
) -> dict[int, list[Mapping[str, Any]]]:
    """Groups the annotations by image; those of no image, or listed twice, are skipped."""
    of_image: dict[int, list[Mapping[str, Any]]] = {image: [] for image in images}
    seen: set[int] = set()
    for index, entry in enumerate(content["annotations"]):
        image = entry.get("image_id") if isinstance(entry, Mapping) else None
        name = f"annotation {index} of the file"
        if type(image) is not int or image not in of_image:
            text = f"got the image {ascii(image)[:40]}, expected one of the file's"
            skipped.append(Skipped(name, "unknown image", text))
        elif type(entry.get("id")) is not int:
            text = f"got the id {ascii(entry.get('id'))[:40]}, expected an integer"
            skipped.append(Skipped(name, "damaged entry", text))
        elif entry["id"] in seen:
            text = f"the id {ascii(entry['id'])[:40]} is listed twice"
            skipped.append(Skipped(name, "duplicate id", text))
        else:
            seen.add(entry["id"])
            of_image[image].append(entry)
    return of_image


def _is_crowd(
    entry: Mapping[str, Any], categories: Mapping[int, Mapping[str, Any]]
) -> bool:
    category = categories.get(entry.get("category_id", -1), {})
    return bool(entry.get("iscrowd")) or category.get("name") == IGNORE


def _annotation(
    entry: Mapping[str, Any],
    photo: str,
    size: tuple[int, int],
    categories: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any] | Skipped:
    """Reads an annotation into JSON's types."""
    name = f"annotation {ascii(entry.get('id'))[:40]} of {photo}"
    category = whole_number(entry.get("category_id"))
    if category is None or category not in categories:
        got = ascii(entry.get("category_id"))[:40]
        text = f"{name}: got the category {got}, expected one of the file's"
        return Skipped(name, "unknown category", text)
    if entry.get("box_only") or not entry.get("segmentation"):
        return Skipped(name, "no mask")
    try:
        counts, _ = read_mask(entry["segmentation"], size, name)
    except ValueError as error:
        return Skipped(name, "damaged mask", str(error))
    pixels = int(counts[1::2].sum())
    if not pixels:
        return Skipped(name, "zero area", f"{name}: its mask has no pixel")
    area: Any = entry.get("area")
    box = entry.get("bbox")
    return {
        "id": entry.get("id"),
        "category_id": category,
        "segmentation": dict(rle_of_counts(counts, size)),
        # The file's area, of the polygon and not of its pixels, as COCO's code has it.
        "area": float(area) if is_number(area) and area > 0 else float(pixels),
        "crowd": _is_crowd(entry, categories),
        "bbox": box if are_numbers(box, 4) else None,
    }
