"""Reader of COCO files, written by samjax or by other tools."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samjax.data.formats.annotations import make_annotation
from samjax.data.formats.coco_content import read_content
from samjax.data.formats.coco_masks import (
    are_numbers,
    bad_rings,
    is_number,
    read_mask,
)
from samjax.data.formats.guards import (
    Problems,
    check_path,
    check_size,
    raise_problem,
    whole_number,
)
from samjax.data.formats.licences import is_excluded, licence_names
from samjax.data.orientation import declared_frame
from samjax.data.schema import Annotation, ImageInfo, Record

SizeOf = Callable[[str], tuple[int, int] | None]
"""A function from the name of an image to its size (h, w), None if it is not found."""


def read_coco(
    path: str | os.PathLike,
    *,
    crowds: bool | None = False,
    exclude_licences: Sequence[str] = (),
    problems: Problems = raise_problem,
    notes: Callable[[str], object] = lambda note: None,
    size_of: SizeOf = lambda name: None,
) -> Iterator[Record]:
    """Reads a COCO file of any tool, image by image in the order of the file.

    Masks may be polygons, RLE or compressed RLE, in all forms that pycocotools,
    mmdetection and detectron2 read (`coco_masks.read_mask`); polygons are filled as in
    pycocotools. Ids may be text or repeat (`coco_content`). Box and area are computed
    from the mask in SA-1B's convention, whatever the file has; fields of SA-1B that the
    file lacks get the values of `annotations.make_annotation`. Categories are dropped:
    records have none. The file is a single JSON value, so its text and content are held
    in memory, but no decoded masks.

    Args:
        path: Path of the JSON file.
        crowds: Whether to keep masks with `iscrowd`. In COCO these are regions of many
            objects, but some tools store every painted mask so: None keeps them if the
            file has no others.
        exclude_licences: Licences, by id or name, whose images are left out
            (`licences.is_excluded`).
        problems: Called with the error of every invalid image and annotation that is
            left out; the default raises it.
        notes: Called with a line for each kind of annotation that is left out because
            of a flag in the file (`iscrowd`, `ignore`, `box_only`), with their count.
        size_of: Called for the size of an image without one in the file.

    Yields:
        A record for every image, also for those without annotations. `file_name` may
        have folders, if the file has them, but never leads upwards: of an absolute
        path, a path on another drive, or a URL, the last part is kept. If the field is
        missing (as in LVIS) it is the last part of `coco_url`.

    Raises:
        ValueError: The file is not a COCO file, or as for `problems`.
        OSError: The file cannot be read.
    """
    content = read_content(Path(path))
    of_image = _by_image(content, path, problems)
    _drop_flagged(of_image, crowds, notes)
    images = _licensed_images(content, path, exclude_licences, of_image, size_of)
    annotation_ids: set[int] = set()
    for image in _sound(images, problems):
        image_id = image["image_id"]
        annotations = []
        # `pop` frees the entries as they are read.
        for entry in of_image.pop(image_id, []):
            try:
                annotation = _annotation(entry, image, path)
                if annotation["id"] in annotation_ids:
                    raise ValueError(
                        f"{path}: annotation {annotation['id']} of image {image_id} "
                        "comes a second time, expected it once"
                    )
            except ValueError as error:
                problems(error)
                continue
            annotation_ids.add(annotation["id"])
            annotations.append(annotation)
            if bad := bad_rings(entry.get("segmentation")):
                notes(
                    f"{path}: annotation {annotation['id']} of image {image_id}: {bad} "
                    "of its polygons have no three corners x y and are left out"
                )
        yield Record(image=image, annotations=annotations)


def _by_image(
    content: dict[str, Any], path: str | os.PathLike, problems: Problems
) -> dict[int, list[dict[str, Any]]]:
    """Groups the annotations of the file by the id of their image."""
    of_image: dict[int, list[dict[str, Any]]] = {
        entry["id"]: []
        for entry in content["images"]
        if isinstance(entry, Mapping) and type(entry.get("id")) is int
    }
    for entry in content.pop("annotations"):
        image_id = entry.get("image_id") if isinstance(entry, dict) else None
        if type(image_id) is int and image_id in of_image:
            of_image[image_id].append(entry)
        else:
            problems(
                ValueError(
                    f"{path}: got an annotation of image {ascii(image_id)[:40]}, "
                    "expected the id of one of the images"
                )
            )
    return of_image


def _drop_flagged(
    of_image: dict[int, list[dict[str, Any]]],
    crowds: bool | None,
    notes: Callable[[str], object],
) -> None:
    """Removes the annotations that the file flags as not being objects."""
    kinds = Counter(_kind(entry) for entries in of_image.values() for entry in entries)
    if crowds is None:
        crowds = not kinds["object"]
    dropped = {"ignore", "box_only"} - ({"ignore"} if crowds else set())
    dropped |= set() if crowds else {"iscrowd"}
    for image_id, entries in of_image.items():
        of_image[image_id] = [entry for entry in entries if _kind(entry) not in dropped]
    messages = {
        "iscrowd": "masks have iscrowd (regions of many objects, or painted masks of "
        "tools that store them so) and are left out: crowds=True (--data.crowds) keeps them",
        "ignore": "annotations are flagged ignore and are left out",
        "box_only": "annotations are flagged as boxes without a mask",
    }
    total = sum(kinds.values())
    for kind, message in messages.items():
        if kinds[kind] and kind in dropped:
            notes(f"{kinds[kind]} of {total} {message}")
    if kinds["iscrowd"] and "iscrowd" not in dropped and not kinds["object"]:
        notes(
            f"all {kinds['iscrowd']} masks have iscrowd, as tools store painted masks: "
            "each is taken for an object"
        )


def _kind(entry: Mapping[str, Any]) -> str:
    """Returns `"object"`, or the flag that marks an annotation as not an object."""
    for flag in ("box_only", "iscrowd", "ignore"):
        if entry.get(flag):
            return flag
    return "object"


def _sound(
    images: Iterator[ImageInfo | ValueError], problems: Problems
) -> Iterator[ImageInfo]:
    for image in images:
        if isinstance(image, ValueError):
            problems(image)
        else:
            yield image


def _licensed_images(
    content: Mapping[str, Any],
    path: str | os.PathLike,
    excluded: Sequence[str],
    of_image: Mapping[int, list[dict[str, Any]]],
    size_of: SizeOf,
) -> Iterator[ImageInfo | ValueError]:
    """Yields the images whose licences are not excluded, or their errors, in order."""
    names = _inner_names(content["images"])
    image_ids: set[int] = set()
    for entry, name in zip(content["images"], names, strict=True):
        try:
            image_id = entry.get("id") if isinstance(entry, Mapping) else None
            if type(image_id) is not int:
                raise ValueError(
                    f"{path}: got an image with the id {ascii(image_id)[:40]}, expected "
                    "a number or text"
                )
            if image_id in image_ids:
                raise ValueError(
                    f"{path}: image {image_id} comes a second time, expected a number "
                    "of its own"
                )
            image_ids.add(image_id)
            if excluded and is_excluded(licence_names(content, entry), excluded):
                continue
            context = f"{path}: image {image_id}"
            check_path(name, context)
            size = (entry.get("height"), entry.get("width"))
            if None in size:
                size = _missing_size(of_image.get(image_id, []), name, size_of) or size
            height, width = check_size(*size, context)
            image = ImageInfo(
                image_id=image_id, width=width, height=height, file_name=name
            )
            if frame := declared_frame(entry, content.get("info")):
                image["frame"] = frame
            yield image
        except ValueError as error:
            yield error


def _missing_size(
    annotations: list[dict[str, Any]], name: str, size_of: SizeOf
) -> tuple[int, int] | None:
    """Finds the size of an image without one: that of its RLE masks, or of its file."""
    for entry in annotations:
        segmentation = entry.get("segmentation")
        size = segmentation.get("size") if isinstance(segmentation, Mapping) else None
        if isinstance(size, list) and len(size) == 2:
            height, width = map(whole_number, size)
            if height and width:
                return height, width
    return size_of(name)


def _inner_names(images: list[Any]) -> list[Any]:
    """Returns the names of images as paths that stay within a folder, if unambiguous.

    Images whose names would become the same keep the original ones, which are rejected
    later.
    """
    names = [_name(entry) if isinstance(entry, Mapping) else None for entry in images]
    inner = [_inner(name) if isinstance(name, str) else name for name in names]
    counts = Counter(name for name in inner if isinstance(name, str))
    return [
        short
        if short == name or not isinstance(short, str) or counts[short] == 1
        else name
        for short, name in zip(inner, names, strict=True)
    ]


def _name(entry: Mapping[str, Any]) -> Any:
    name = entry.get("file_name")
    if name is None and isinstance(entry.get("coco_url"), str):
        return entry["coco_url"].rpartition("/")[2]
    return name


def _inner(name: str) -> str:
    """Returns a relative path; the last part of an absolute path, a URL or one with `..`."""
    url = re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE)
    if url:
        name = re.split(r"[?#]", name)[0]
    parts = name.replace("\\", "/").split("/")
    drive = re.match(r"[A-Za-z]:", name)
    leads_out = bool(url or drive or parts[0] == "" or ".." in parts)
    parts = [part for part in parts if part not in ("", ".")]
    if leads_out and parts:
        last = parts[-1]
        return last[2:] if drive and len(parts) == 1 else last
    return "/".join(parts)


def _annotation(
    entry: Mapping[str, Any], image: ImageInfo, path: str | os.PathLike
) -> Annotation:
    annotation_id = entry.get("id")
    if type(annotation_id) is not int:
        raise ValueError(
            f"{path}: got an annotation of image {image['image_id']} with the id "
            f"{ascii(annotation_id)[:40]}, expected a number or text"
        )
    context = f"{path}: annotation {annotation_id} of image {image['image_id']}"
    size = image["height"], image["width"]
    counts, text = read_mask(entry.get("segmentation"), size, context)
    annotation = make_annotation(counts, size, annotation_id)
    # The file's own text, byte for byte, where it has one.
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
    for name, (expected, is_valid) in extras.items():
        if entry.get(name) is None:
            continue
        if not is_valid(entry[name]):
            got = ascii(entry[name])[:40]
            raise ValueError(f"{context}: got {name} {got}, expected {expected}")
        annotation[name] = entry[name]
    return annotation


def _are_points(value: Any) -> bool:
    return isinstance(value, list) and all(are_numbers(point, 2) for point in value)
