"""Reads COCO files, of samjax and of others, as records."""

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
"""Returns the size (h, w) of an image by its name, None where it cannot be found."""


def read_coco(
    path: str | os.PathLike,
    *,
    crowds: bool | None = False,
    exclude_licences: Sequence[str] = (),
    problems: Problems = raise_problem,
    notes: Callable[[str], object] = lambda note: None,
    size_of: SizeOf = lambda name: None,
) -> Iterator[Record]:
    """Reads a COCO file, of `write_coco` or of others, image by image in its order.

    Masks may be polygons, run lengths or their text, in all forms that pycocotools,
    mmdetection and detectron2 read (`coco_masks.read_mask`); polygons are filled as
    pycocotools fills them. Ids may be text or repeat (`coco_content`). Box and area are
    the mask's own, so that they are SA-1B's whatever the file has; fields of SA-1B that
    the file lacks are those of `annotations.make_annotation`. Categories are not kept:
    records have none. The file is one JSON value, so memory holds its text and content,
    but no masks.

    Args:
        path: of the JSON file.
        crowds: whether masks with `iscrowd` are wanted. COCO means regions of many
            objects by it, but some tools store every brushed mask so: None takes them
            where the file has no others.
        exclude_licences: licences, by number or name, of which no image is wanted
            (`licences.is_excluded`).
        problems: is called with the error of every image and annotation that is left
            out because of what it is; the default raises it.
        notes: is called with a line for each kind of annotation that is left out as the
            file says itself (`iscrowd`, `ignore`, `box_only`), with their number.
        size_of: is asked for the size of an image of which the file says none.

    Yields:
        A record for every image, also for those without annotations. `file_name` may
        have a folder, if the file has; it never leads upwards: of a path from the root,
        of another drive or of an address the last part is kept. Where it is missing (as
        in LVIS) it is the last part of `coco_url`.

    Raises:
        ValueError: the file is not COCO's, or as for `problems`.
        OSError: the file cannot be read.
    """
    content = read_content(Path(path))
    of_image = _by_image(content, path, problems)
    _choose(content, of_image, crowds, notes)
    images = _wanted_images(content, path, exclude_licences, of_image, size_of)
    numbers: set[int] = set()
    for image in _sound(images, problems):
        number = image["image_id"]
        annotations = []
        # Taken out, so that what was read makes room.
        for entry in of_image.pop(number, []):
            try:
                annotation = _annotation(entry, image, path)
                if annotation["id"] in numbers:
                    raise ValueError(
                        f"{path}: annotation {annotation['id']} of image {number} "
                        "comes a second time, expected it once"
                    )
            except ValueError as error:
                problems(error)
                continue
            numbers.add(annotation["id"])
            annotations.append(annotation)
            if bad := bad_rings(entry.get("segmentation")):
                notes(
                    f"{path}: annotation {annotation['id']} of image {number}: {bad} of "
                    "its polygons have no three corners x y and are left out"
                )
        yield Record(image=image, annotations=annotations)


def _by_image(
    content: dict[str, Any], path: str | os.PathLike, problems: Problems
) -> dict[int, list[dict[str, Any]]]:
    """The annotations of every image of the file, by its number."""
    of_image: dict[int, list[dict[str, Any]]] = {
        entry["id"]: []
        for entry in content["images"]
        if isinstance(entry, Mapping) and type(entry.get("id")) is int
    }
    for entry in content.pop("annotations"):
        number = entry.get("image_id") if isinstance(entry, dict) else None
        if type(number) is int and number in of_image:
            of_image[number].append(entry)
        else:
            problems(
                ValueError(
                    f"{path}: got an annotation of image {ascii(number)[:40]}, "
                    "expected the number of one of the images"
                )
            )
    return of_image


def _choose(
    content: Mapping[str, Any],
    of_image: dict[int, list[dict[str, Any]]],
    crowds: bool | None,
    notes: Callable[[str], object],
) -> None:
    """Takes out the annotations that the file itself says are not objects."""
    kinds = Counter(_kind(one) for own in of_image.values() for one in own)
    if crowds is None:
        crowds = not kinds["object"]
    dropped = {"ignore", "box_only"} - ({"ignore"} if crowds else set())
    dropped |= set() if crowds else {"iscrowd"}
    for number, own in of_image.items():
        of_image[number] = [one for one in own if _kind(one) not in dropped]
    told = {
        "iscrowd": "masks have iscrowd (regions of many objects, or brushed masks of "
        "tools that store them so) and are left out: crowds=True (--data.crowds) keeps them",
        "ignore": "annotations say ignore and are left out",
        "box_only": "annotations say that they are boxes without a mask",
    }
    of_all = sum(kinds.values())
    for kind, words in told.items():
        if kinds[kind] and kind in dropped:
            notes(f"{kinds[kind]} of {of_all} {words}")
    if kinds["iscrowd"] and "iscrowd" not in dropped and not kinds["object"]:
        notes(
            f"all {kinds['iscrowd']} masks have iscrowd, as tools store brushed masks: "
            "each is taken for an object"
        )


def _kind(entry: Mapping[str, Any]) -> str:
    """What an annotation is: `"object"`, or the flag by which it is none."""
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


def _wanted_images(
    content: Mapping[str, Any],
    path: str | os.PathLike,
    excluded: Sequence[str],
    of_image: Mapping[int, list[dict[str, Any]]],
    size_of: SizeOf,
) -> Iterator[ImageInfo | ValueError]:
    """The images whose licences are wanted, or what is wrong with them, in order."""
    names = _inner_names(content["images"])
    found: set[int] = set()
    for entry, name in zip(content["images"], names, strict=True):
        try:
            number = entry.get("id") if isinstance(entry, Mapping) else None
            if type(number) is not int:
                raise ValueError(
                    f"{path}: got an image with the id {ascii(number)[:40]}, expected "
                    "a number or text"
                )
            if number in found:
                raise ValueError(
                    f"{path}: image {number} comes a second time, expected a number "
                    "of its own"
                )
            found.add(number)
            if excluded and is_excluded(licence_names(content, entry), excluded):
                continue
            place = f"{path}: image {number}"
            check_path(name, place)
            size = (entry.get("height"), entry.get("width"))
            if None in size:
                size = _missing_size(of_image.get(number, []), name, size_of) or size
            height, width = check_size(*size, place)
            image = ImageInfo(
                image_id=number, width=width, height=height, file_name=name
            )
            if frame := declared_frame(entry, content.get("info")):
                image["frame"] = frame
            yield image
        except ValueError as error:
            yield error


def _missing_size(
    annotations: list[dict[str, Any]], name: str, size_of: SizeOf
) -> tuple[int, int] | None:
    """The size of an image of which the file has none: that of its masks, or its own."""
    for entry in annotations:
        coded = entry.get("segmentation")
        size = coded.get("size") if isinstance(coded, Mapping) else None
        if isinstance(size, list) and len(size) == 2:
            height, width = map(whole_number, size)
            if height and width:
                return height, width
    return size_of(name)


def _inner_names(images: list[Any]) -> list[Any]:
    """The names of images below whatever folder they are put in, where that is clear.

    Two images whose names differ only in what leads outside keep it, and are refused.
    """
    given = [_name(entry) if isinstance(entry, Mapping) else None for entry in images]
    inner = [_inner(name) if isinstance(name, str) else name for name in given]
    times = Counter(name for name in inner if isinstance(name, str))
    return [
        own if own == name or not isinstance(own, str) or times[own] == 1 else name
        for own, name in zip(inner, given, strict=True)
    ]


def _name(entry: Mapping[str, Any]) -> Any:
    name = entry.get("file_name")
    if name is None and isinstance(entry.get("coco_url"), str):
        return entry["coco_url"].rpartition("/")[2]
    return name


def _inner(name: str) -> str:
    address = re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE)
    if address:
        name = re.split(r"[?#]", name)[0]
    parts = name.replace("\\", "/").split("/")
    drive = re.match(r"[A-Za-z]:", name)
    leads_out = bool(address or drive or parts[0] == "" or ".." in parts)
    parts = [part for part in parts if part not in ("", ".")]
    if leads_out and parts:
        last = parts[-1]
        return last[2:] if drive and len(parts) == 1 else last
    return "/".join(parts)


def _annotation(
    entry: Mapping[str, Any], image: ImageInfo, path: str | os.PathLike
) -> Annotation:
    number = entry.get("id")
    if type(number) is not int:
        raise ValueError(
            f"{path}: got an annotation of image {image['image_id']} with the id "
            f"{ascii(number)[:40]}, expected a number or text"
        )
    place = f"{path}: annotation {number} of image {image['image_id']}"
    size = image["height"], image["width"]
    counts, text = read_mask(entry.get("segmentation"), size, place)
    annotation = make_annotation(counts, size, number)
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
