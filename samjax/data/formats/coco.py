"""COCO's JSON: one file for many images, masks as RLE or polygons.

Two conventions differ from a record's. COCO's boxes count pixels: a mask of one pixel
has width 1, in SA-1B 0. Annotation ids are unique in the whole file and start at 1, as
pycocotools treats a match with id 0 as none.

An image's field `frame` declares the frame of its masks (`samjax.data.orientation`), if
its record does; a `frame` in the file's `info` applies to all images.

SA-1B's fields (`predicted_iou`, `stability_score`, `point_coords`, `crop_box`), and
`parent`, `depth` and `agreement` if a record has them, are kept as extra keys, which
other readers ignore.
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
    """Writes records to one COCO file, image by image; the file is replaced atomically.

    Memory holds one record, and a line for each image. Annotations get new ids.

    Args:
        path: Path of the JSON file.
        records: The images and their masks, in the order of the file.
        segmentation: RLE, or polygons, which need OpenCV. Polygons cannot represent an
            empty mask, which stays RLE.
        tolerance: Tolerance of polygons in pixels, as in
            `samjax.geometry.polygons.mask_to_polygons`; 0 is exact.
        category: Name of the single category, which has id 1.
        info: COCO's `info`.
        licences: COCO's `licenses`.
        image_fields: Further fields of images, such as `license`, by their `image_id`.

    Raises:
        ValueError: Two images have the same id, an image's name leads out of its
            folder, a mask is damaged, a parent is of another image, or a number is not
            finite.
        ImportError: `segmentation` is polygons, and OpenCV is missing.
        OSError: The file cannot be written.
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
        # The mark comes first: it is recognized by the head of the file.
        marked = {KEY: mark_of("coco"), **(info or {})}
        file.write(f'{{"info":{_json(marked)},\n')
        file.write(f'"licenses":{_json(list(licences))},\n')
        file.write(f'"categories":[{_json(kind)}],\n"annotations":[')
        polygon_tolerance = tolerance if segmentation == "polygons" else None
        images = _write_annotations(
            file, records, polygon_tolerance, image_fields or {}
        )
        file.write('\n],\n"images":[\n' + ",\n".join(images) + "\n]}\n")


def _write_annotations(
    file: TextIO,
    records: Iterable[Record],
    tolerance: float | None,
    image_fields: Mapping[int, Mapping[str, Any]],
) -> list[str]:
    """Writes the annotations of all records, and returns the JSON of their images."""
    images: list[str] = []
    image_ids: set[int] = set()
    annotation_id = 0
    for record in records:
        image = record["image"]
        if image["image_id"] in image_ids:
            raise ValueError(
                f"got a second image with image_id {image['image_id']}, expected a "
                "unique id for each image: give them new ids"
            )
        image_ids.add(image["image_id"])
        check_path(image["file_name"], f"image {image['image_id']}")
        own_fields = _image_entry(image)
        further = image_fields.get(image["image_id"], {})
        images.append(_json({**own_fields, **further, **own_fields}))
        new_ids = {
            annotation["id"]: annotation_id + i
            for i, annotation in enumerate(record["annotations"], start=1)
        }
        for annotation in record["annotations"]:
            annotation_id += 1
            entry = _entry(annotation, image, annotation_id, tolerance)
            entry |= _hierarchy_fields(annotation, new_ids)
            if "agreement" in annotation:
                entry["agreement"] = annotation["agreement"]
            file.write((",\n" if annotation_id > 1 else "\n") + _json(entry))
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
    annotation: Annotation,
    image: ImageInfo,
    annotation_id: int,
    tolerance: float | None,
) -> dict[str, Any]:
    counts = counts_of(annotation, image)
    area = int(counts[1::2].sum())
    x, y, width, height = box_of_counts(counts, image["height"])
    # COCO's boxes count pixels, SA-1B's end at the last one.
    if area:
        width, height = width + 1, height + 1
    segmentation: Any = annotation["segmentation"]
    if tolerance is not None and area:
        left, columns = columns_of_counts(counts, image["height"])
        polygons = mask_to_polygons(columns.T, tolerance=tolerance)
        # Corners of pixels are whole numbers, and shorter without decimals.
        segmentation = [
            (polygon.astype(int) + [left, 0]).reshape(-1).tolist()
            for polygon in polygons
        ]
    return {
        "id": annotation_id,
        "image_id": image["image_id"],
        "category_id": 1,
        "iscrowd": 0,
        "area": area,
        "bbox": [x, y, width, height],
        "segmentation": segmentation,
        "predicted_iou": annotation["predicted_iou"],
        "stability_score": annotation["stability_score"],
        "point_coords": annotation["point_coords"],
        "crop_box": annotation["crop_box"],
    }


def _hierarchy_fields(
    annotation: Annotation, new_ids: Mapping[int, int]
) -> dict[str, int | None]:
    """Returns the fields `parent` and `depth`, if present, with the parent's new id."""
    fields: dict[str, int | None] = {}
    if "parent" in annotation:
        parent = annotation["parent"]
        if parent is not None and parent not in new_ids:
            raise ValueError(
                f"annotation {annotation['id']}: got the parent {parent}, expected an "
                "annotation of the same image, or None: the parent was left out"
            )
        fields["parent"] = None if parent is None else new_ids[parent]
    if "depth" in annotation:
        fields["depth"] = annotation["depth"]
    return fields


def _json(value: Any) -> str:
    return json_text(value, separators=(",", ":"))
