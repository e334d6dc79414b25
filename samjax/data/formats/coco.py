"""COCO's JSON: one file for many images, masks as run lengths or polygons.

Two conventions differ from a record's. COCO's boxes count pixels: a mask of one pixel
has width 1, where SA-1B has 0. Annotations are numbered through the whole file, from 1
on, because pycocotools takes a match with number 0 for none.

An image's `frame` says on which pixels its masks lie (`samjax.data.orientation`), if its
record does; of a file whose `info` says it, all images have it.

SA-1B's own fields (`predicted_iou`, `stability_score`, `point_coords`, `crop_box`), and
`parent`, `depth` and `agreement` where a record has them, stay as extra keys, which
other readers pass over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from samjax.data.formats.annotations import (
    box_of_counts,
    columns_of_counts,
    counts_of,
)
from samjax.data.formats.coco_reader import read_coco
from samjax.data.formats.guards import check_path
from samjax.data.orientation import declared_frame
from samjax.data.schema import Annotation, ImageInfo, Record
from samjax.files import KEY, json_text, mark_of, replacing
from samjax.geometry.polygons import mask_to_polygons

__all__ = ["read_coco", "write_coco"]


def write_coco(
    path: str | os.PathLike,
    records: Iterable[Record],
    *,
    segmentation: Literal["rle", "polygons"] = "rle",
    tolerance: float = 0.0,
    category: str = "object",
    info: Mapping[str, Any] | None = None,
    licences: Sequence[Mapping[str, Any]] = (),
    image_fields: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Writes records to one COCO file, image by image; it is whole or not there.

    Memory holds one record, and a line for each image. Annotations get new numbers.

    Args:
        path: of the JSON file.
        records: the images and their masks, in the order they are to have.
        segmentation: run lengths, or polygons, which need OpenCV. Polygons have no form
            for an empty mask, which stays run lengths.
        tolerance: of polygons, in pixels, as `geometry.polygons.mask_to_polygons` has
            it; 0 is exact.
        category: name of the one category, which has number 1.
        info: COCO's `info`.
        licences: COCO's `licenses`.
        image_fields: Further fields of images, such as `license`, by their `image_id`.

    Raises:
        ValueError: two images have one number, an image's name leads out of its folder,
            a mask is damaged, a parent is of another image, or a number is not finite.
        ImportError: polygons are asked for, and OpenCV is missing.
        OSError: the file cannot be written.
    """
    if segmentation not in ("rle", "polygons"):
        raise ValueError(f"got {segmentation=}, expected 'rle' or 'polygons'")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"id": 1, "name": category, "supercategory": category}
    with (
        replacing(path) as hidden,
        hidden.open("w", encoding="utf-8", newline="\n") as file,
    ):
        # The mark comes first: readers of it read no more than the head.
        marked = {KEY: mark_of("coco"), **(info or {})}
        file.write(f'{{"info":{_json(marked)},\n')
        file.write(f'"licenses":{_json(list(licences))},\n')
        file.write(f'"categories":[{_json(kind)}],\n"annotations":[')
        used = tolerance if segmentation == "polygons" else None
        images = _write_annotations(file, records, used, image_fields or {})
        file.write('\n],\n"images":[\n' + ",\n".join(images) + "\n]}\n")


def _write_annotations(
    file: TextIO,
    records: Iterable[Record],
    tolerance: float | None,
    image_fields: Mapping[int, Mapping[str, Any]],
) -> list[str]:
    """Writes the annotations of all records, and returns the lines of their images."""
    images: list[str] = []
    image_ids: set[int] = set()
    number = 0
    for record in records:
        image = record["image"]
        if image["image_id"] in image_ids:
            raise ValueError(
                f"got a second image with image_id {image['image_id']}, expected a "
                "number of its own for each image: number them anew"
            )
        image_ids.add(image["image_id"])
        check_path(image["file_name"], f"image {image['image_id']}")
        own_fields = _image_entry(image)
        further = image_fields.get(image["image_id"], {})
        images.append(_json({**own_fields, **further, **own_fields}))
        own = record["annotations"]
        numbers = {one["id"]: number + i for i, one in enumerate(own, start=1)}
        for annotation in own:
            number += 1
            entry = _entry(annotation, image, number, tolerance)
            entry |= _place_in_tree(annotation, numbers)
            if "agreement" in annotation:
                entry["agreement"] = annotation["agreement"]
            file.write((",\n" if number > 1 else "\n") + _json(entry))
    return images


def _image_entry(image: ImageInfo) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": image["image_id"],
        "width": image["width"],
        "height": image["height"],
        "file_name": image["file_name"],
    }
    if (frame := declared_frame(image)) is not None:
        entry["frame"] = frame
    return entry


def _entry(
    annotation: Annotation, image: ImageInfo, number: int, tolerance: float | None
) -> dict[str, Any]:
    counts = counts_of(annotation, image)
    area = int(counts[1::2].sum())
    x, y, width, height = box_of_counts(counts, image["height"])
    if area:
        width, height = width + 1, height + 1
    coded: Any = annotation["segmentation"]
    if tolerance is not None and area:
        left, columns = columns_of_counts(counts, image["height"])
        polygons = mask_to_polygons(columns.T, tolerance=tolerance)
        # Corners of pixels are whole numbers, and shorter as such.
        coded = [
            (polygon.astype(int) + [left, 0]).reshape(-1).tolist()
            for polygon in polygons
        ]
    return {
        "id": number,
        "image_id": image["image_id"],
        "category_id": 1,
        "iscrowd": 0,
        "area": area,
        "bbox": [x, y, width, height],
        "segmentation": coded,
        "predicted_iou": annotation["predicted_iou"],
        "stability_score": annotation["stability_score"],
        "point_coords": annotation["point_coords"],
        "crop_box": annotation["crop_box"],
    }


def _place_in_tree(
    annotation: Annotation, numbers: Mapping[int, int]
) -> dict[str, int | None]:
    """The fields `parent` and `depth`, if there, with the parent's new number."""
    place: dict[str, int | None] = {}
    if "parent" in annotation:
        parent = annotation["parent"]
        if parent is not None and parent not in numbers:
            raise ValueError(
                f"annotation {annotation['id']}: got the parent {parent}, expected an "
                "annotation of the same image, or None: the parent was left out"
            )
        place["parent"] = None if parent is None else numbers[parent]
    if "depth" in annotation:
        place["depth"] = annotation["depth"]
    return place


def _json(value: Any) -> str:
    return json_text(value, separators=(",", ":"))
