"""The JSON of a COCO file, brought to one form from those in which tools write it.

pycocotools looks images and annotations up by whatever their ids are: text ("000001",
a UUID), whole floats (tables saved by pandas), numbers that start anew in every image.
Sizes come as floats, as text, as 0 or not at all; flags as numbers, text or booleans.
Here ids become integers, each its own; sizes integers or None; flags booleans. What is
of no such kind stays as it is, for readers to report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from samjax.data.formats.guards import whole_number


def read_content(path: Path) -> dict[str, Any]:
    """Reads the JSON of a COCO file, and brings it to one form.

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
        and isinstance(content.get("annotations") or [], list)
    )
    if not is_coco:
        raise ValueError(
            f"{path}: got JSON of another kind, expected an object with the lists "
            "images and annotations, as COCO's instances_*.json: files of results have "
            "no images"
        )
    images = [entry for entry in content["images"] if isinstance(entry, dict)]
    content["annotations"] = content.get("annotations") or []
    annotations = [one for one in content["annotations"] if isinstance(one, dict)]
    _number_images(images, annotations)
    _number_annotations(annotations)
    for image in images:
        for side in ("height", "width"):
            image[side] = _side(image.get(side))
    for annotation in annotations:
        for flag in ("iscrowd", "ignore", "box_only"):
            if flag in annotation:
                annotation[flag] = _flag(annotation[flag])
    return content


def _number_images(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> None:
    """Gives images integers as ids, and annotations those of their images."""
    ids = [_id(image.get("id")) for image in images]
    numbers = _numbers(ids)
    for image, own in zip(images, ids, strict=True):
        if own is not None:
            image["id"] = numbers[own]
    # "7" means the image 7 where no image is called "7", and the other way round.
    similar: dict[int, int | None] = {}
    for own, number in numbers.items():
        if (value := whole_number(own)) is not None:
            similar[value] = None if value in similar else number
    for annotation in annotations:
        own = _id(annotation.get("image_id"))
        number = None if own is None else numbers.get(own)
        if number is None and (value := whole_number(own)) is not None:
            number = similar.get(value)
        if number is not None:
            annotation["image_id"] = number
        elif own is not None:
            # Of no image, whatever numbers images have been given.
            annotation["image_id"] = str(own)


def _number_annotations(annotations: list[dict[str, Any]]) -> None:
    """Gives annotations integers as ids, each its own.

    An annotation that stands in the file twice keeps its id twice, for readers to leave
    one out.
    """
    ids = [_id(annotation.get("id")) for annotation in annotations]
    numbers = _numbers(ids)
    fresh = _after(numbers.values())
    first: dict[Any, dict[str, Any]] = {}
    for annotation, own in zip(annotations, ids, strict=True):
        if own is None:
            if annotation.get("id") is None:
                annotation["id"] = next(fresh)
        elif own not in first or _are_same(annotation, first[own]):
            first.setdefault(own, annotation)
            annotation["id"] = numbers[own]
        else:
            annotation["id"] = next(fresh)


def _are_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(
        one.get(name) == other.get(name)
        for name in ("image_id", "category_id", "segmentation", "bbox")
    )


def _numbers(ids: Iterable[int | float | str | None]) -> dict[int | float | str, int]:
    """An integer for every id: its own where it has one that no other has."""
    numbers: dict[int | float | str, int] = {}
    others = []
    for own in ids:
        if isinstance(own, int):
            numbers[own] = own
        elif own is not None:
            others.append(own)
    taken = set(numbers.values())
    for own in others:
        value = whole_number(own)
        if own not in numbers and value is not None and value not in taken:
            numbers[own] = value
            taken.add(value)
    fresh = _after(taken)
    for own in others:
        if own not in numbers:
            numbers[own] = next(fresh)
    return numbers


def _after(numbers: Iterable[int]) -> Iterator[int]:
    number = max(numbers, default=0)
    while True:
        number += 1
        yield number


def _id(value: Any) -> int | float | str | None:
    """An id as Python's dictionaries compare it, None for what can be none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole = whole_number(value)
    if whole is not None:
        return whole
    # NaN equals nothing, itself included.
    return None if math.isnan(value) else value


def _side(value: Any) -> Any:
    """A side of an image: an integer where it is one, None where nothing is known."""
    whole = whole_number(value)
    if whole is not None:
        return whole or None
    return value


def _flag(value: Any) -> bool:
    """Whether a flag is set, which tools write as 1, 1.0, "1", true or "true"."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "0.0", "false", "no", "none")
    return bool(value)
