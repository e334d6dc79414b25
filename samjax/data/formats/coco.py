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

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from samjax.data.formats.annotations import (
    bare_annotation,
    box_of_counts,
    columns_of_counts,
    counts_of,
)
from samjax.data.formats.coco_masks import are_numbers, is_number, read_mask
from samjax.data.formats.guards import (
    Problems,
    check_file_name,
    check_size,
    raise_problem,
)
from samjax.data.formats.licences import is_excluded, licence_names
from samjax.data.orientation import declared_frame
from samjax.data.schema import Annotation, ImageInfo, Record
from samjax.files import KEY, json_text, mark_of, replacing
from samjax.geometry.polygons import mask_to_polygons


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


def read_coco(
    path: str | os.PathLike,
    *,
    crowds: bool = False,
    exclude_licences: Sequence[str] = (),
    problems: Problems = raise_problem,
) -> Iterator[Record]:
    """Reads a COCO file, of this module or of others, image by image in its order.

    Masks may be polygons, run lengths or their text. Polygons are filled as pycocotools
    fills them. Box and area are the mask's own, so that they are SA-1B's whatever the
    file has; fields of SA-1B that the file lacks are those of
    `annotations.bare_annotation`. Categories are not kept: records have none. The file
    is one JSON value, so memory holds its text and content, but no masks.

    Args:
        path: of the JSON file.
        crowds: whether masks that cover many objects at once (`iscrowd`), or that a
            score leaves out (`ignore`), are wanted.
        exclude_licences: licences, by number or name, of which no image is wanted
            (`licences.is_excluded`).
        problems: is called with the error of every image and annotation that is left
            out; the default raises it.

    Yields:
        A record for every image, also for those without annotations. Annotations that
        say themselves that they are boxes without a mask (`box_only`) are passed over.
        `file_name` may have a folder, if the file has; it never leads upwards. Where it
        is missing (as in LVIS) it is the last part of `coco_url`.

    Raises:
        ValueError: the file is not COCO's, or as for `problems`.
        OSError: the file cannot be read.
    """
    content = read_content(Path(path))
    images, passed_over = _wanted_images(content, path, exclude_licences, problems)
    of_image: dict[int, list[Any]] = {number: [] for number in images}
    for entry in content.pop("annotations", []):
        number = entry.get("image_id") if isinstance(entry, Mapping) else None
        if type(number) is int and number in passed_over:
            continue
        if type(number) is not int or number not in of_image:
            problems(
                ValueError(
                    f"{path}: got an annotation of image {ascii(number)[:40]}, "
                    "expected the number of one of the images"
                )
            )
        elif entry.get("box_only") is True:
            continue
        elif crowds or not (entry.get("iscrowd") or entry.get("ignore")):
            of_image[number].append(entry)
    numbers: set[int] = set()
    for number, image in images.items():
        annotations = []
        # Taken out, so that what was read makes room.
        for entry in of_image.pop(number):
            try:
                annotation = _annotation(entry, image, path)
                if annotation["id"] in numbers:
                    raise ValueError(
                        f"{path}: annotation {annotation['id']} of image {number} has "
                        "the id of another, expected one of its own"
                    )
            except ValueError as error:
                problems(error)
                continue
            numbers.add(annotation["id"])
            annotations.append(annotation)
        yield Record(image=image, annotations=annotations)


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
        _check_path(image["file_name"], f"image {image['image_id']}")
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


def read_content(path: Path) -> dict[str, Any]:
    """Reads the JSON of a COCO file as it stands.

    Raises:
        ValueError: it is not JSON, or has no list of images.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    is_coco = (
        isinstance(content, dict)
        and isinstance(content.get("images"), list)
        and isinstance(content.get("annotations", []), list)
    )
    if not is_coco:
        raise ValueError(
            f"{path}: got JSON of another kind, expected an object with the lists "
            "images and annotations, as COCO's instances_*.json: files of results have "
            "no images"
        )
    return content


def _wanted_images(
    content: Mapping[str, Any],
    path: str | os.PathLike,
    excluded: Sequence[str],
    problems: Problems,
) -> tuple[dict[int, ImageInfo], set[int]]:
    """The images by number, and the numbers of those whose licence is excluded."""
    images: dict[int, ImageInfo] = {}
    passed_over: set[int] = set()
    for entry in content["images"]:
        try:
            image = _image(entry, path)
            if frame := declared_frame(entry, content.get("info")):
                image["frame"] = frame
            number = image["image_id"]
            if number in images or number in passed_over:
                raise ValueError(
                    f"{path}: image {number} comes a second time, expected a number "
                    "of its own"
                )
        except ValueError as error:
            problems(error)
            continue
        if excluded and is_excluded(licence_names(content, entry), excluded):
            passed_over.add(number)
        else:
            images[number] = image
    return images, passed_over


def _image(entry: Any, path: str | os.PathLike) -> ImageInfo:
    number = entry.get("id") if isinstance(entry, Mapping) else None
    if type(number) is not int:
        raise ValueError(
            f"{path}: got an image with the id {ascii(number)[:40]}, expected an "
            "integer"
        )
    place = f"{path}: image {number}"
    height, width = check_size(entry.get("height"), entry.get("width"), place)
    name = entry.get("file_name")
    if name is None and isinstance(entry.get("coco_url"), str):
        name = entry["coco_url"].rpartition("/")[2]
    return ImageInfo(
        image_id=number,
        width=width,
        height=height,
        file_name=_check_path(name, place),
    )


def _check_path(name: Any, place: str) -> str:
    """Returns a name, perhaps with folders, that does not lead out of its folder."""
    parts = name.split("/") if isinstance(name, str) else [name]
    for part in parts:
        check_file_name(part, place)
    return name


def _annotation(
    entry: Mapping[str, Any], image: ImageInfo, path: str | os.PathLike
) -> Annotation:
    number = entry.get("id")
    if type(number) is not int:
        raise ValueError(
            f"{path}: got an annotation of image {image['image_id']} with the id "
            f"{ascii(number)[:40]}, expected an integer"
        )
    place = f"{path}: annotation {number} of image {image['image_id']}"
    size = image["height"], image["width"]
    counts, text = read_mask(entry.get("segmentation"), size, place)
    annotation = bare_annotation(counts, size, number)
    if text is not None:
        annotation["segmentation"]["counts"] = text
    extras = {
        "predicted_iou": ("a finite number", is_number),
        "stability_score": ("a finite number", is_number),
        "agreement": ("a finite number", is_number),
        "crop_box": ("four numbers", lambda value: are_numbers(value, 4)),
        "point_coords": ("a list of points", _are_points),
        "parent": ("the number of an annotation", lambda value: type(value) is int),
        "depth": ("an integer", lambda value: type(value) is int),
    }
    if "parent" in entry:
        annotation["parent"] = None
    for name, (expected, holds) in extras.items():
        if entry.get(name) is None:
            continue
        if not holds(entry[name]):
            got = ascii(entry[name])[:40]
            raise ValueError(f"{place}: got {name} {got}, expected {expected}")
        annotation[name] = entry[name]
    return annotation


def _are_points(value: Any) -> bool:
    return isinstance(value, list) and all(are_numbers(point, 2) for point in value)
