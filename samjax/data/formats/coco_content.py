"""Normalization of a COCO file's JSON over the variants that tools write.

pycocotools looks images and annotations up by ids of any type: text ("000001", a UUID),
whole floats (tables saved by pandas), ids that restart in every image. Sizes occur as
floats, as text, as 0 or not at all; flags as numbers, text or booleans. Here ids become
unique integers, sizes integers or None, flags booleans. Values of other types are kept
for the reader to report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from samjax.data.formats.guards import whole_number


def read_content(path: Path) -> dict[str, Any]:
    """Reads the JSON of a COCO file, and normalizes ids, sizes and flags.

    Raises:
        ValueError: The file is not JSON, or has no list of images.
        OSError: The file cannot be read.
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
    annotations = [entry for entry in content["annotations"] if isinstance(entry, dict)]
    _normalize_image_ids(images, annotations)
    _normalize_annotation_ids(annotations)
    for image in images:
        for side in ("height", "width"):
            image[side] = _side(image.get(side))
    for annotation in annotations:
        for flag in ("iscrowd", "ignore", "box_only"):
            if flag in annotation:
                annotation[flag] = _flag(annotation[flag])
    return content


def _normalize_image_ids(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> None:
    """Gives images integer ids, and annotations those of their images."""
    raw_ids = [_raw_id(image.get("id")) for image in images]
    integers = _integer_ids(raw_ids)
    for image, raw_id in zip(images, raw_ids, strict=True):
        if raw_id is not None:
            image["id"] = integers[raw_id]
    # "7" refers to the image 7 if no image has the id "7", and vice versa.
    by_value: dict[int, int | None] = {}
    for raw_id, integer in integers.items():
        if (value := whole_number(raw_id)) is not None:
            by_value[value] = None if value in by_value else integer
    for annotation in annotations:
        raw_id = _raw_id(annotation.get("image_id"))
        integer = None if raw_id is None else integers.get(raw_id)
        if integer is None and (value := whole_number(raw_id)) is not None:
            integer = by_value.get(value)
        if integer is not None:
            annotation["image_id"] = integer
        elif raw_id is not None:
            # As text, so that it cannot match an integer that an image has got.
            annotation["image_id"] = str(raw_id)


def _normalize_annotation_ids(annotations: list[dict[str, Any]]) -> None:
    """Gives annotations unique integer ids.

    An annotation that occurs twice in the file keeps its id twice, so that the reader
    leaves the second out.
    """
    raw_ids = [_raw_id(annotation.get("id")) for annotation in annotations]
    integers = _integer_ids(raw_ids)
    unused = _integers_above(integers.values())
    first: dict[Any, dict[str, Any]] = {}
    for annotation, raw_id in zip(annotations, raw_ids, strict=True):
        if raw_id is None:
            if annotation.get("id") is None:
                annotation["id"] = next(unused)
        elif raw_id not in first or _are_same(annotation, first[raw_id]):
            first.setdefault(raw_id, annotation)
            annotation["id"] = integers[raw_id]
        else:
            annotation["id"] = next(unused)


def _are_same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return all(
        left.get(name) == right.get(name)
        for name in ("image_id", "category_id", "segmentation", "bbox")
    )


def _integer_ids(
    raw_ids: Iterable[int | float | str | None],
) -> dict[int | float | str, int]:
    """Maps every id to a unique integer: its own value if no other id has that."""
    integers: dict[int | float | str, int] = {}
    others = []
    for raw_id in raw_ids:
        if isinstance(raw_id, int):
            integers[raw_id] = raw_id
        elif raw_id is not None:
            others.append(raw_id)
    # Integers first: text of the same value must not take their place.
    taken = set(integers.values())
    for raw_id in others:
        value = whole_number(raw_id)
        if raw_id not in integers and value is not None and value not in taken:
            integers[raw_id] = value
            taken.add(value)
    unused = _integers_above(taken)
    for raw_id in others:
        if raw_id not in integers:
            integers[raw_id] = next(unused)
    return integers


def _integers_above(taken: Iterable[int]) -> Iterator[int]:
    integer = max(taken, default=0)
    while True:
        integer += 1
        yield integer


def _raw_id(value: Any) -> int | float | str | None:
    """Returns an id in the form that dictionaries compare; None for an invalid one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole = whole_number(value)
    if whole is not None:
        return whole
    # NaN is not equal to itself.
    return None if math.isnan(value) else value


def _side(value: Any) -> Any:
    """Normalizes a side of an image: to an integer, or None if it is unknown."""
    whole = whole_number(value)
    if whole is not None:
        return whole or None
    return value


def _flag(value: Any) -> bool:
    """Whether a flag is set, which tools write as 1, 1.0, "1", true or "true"."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "0.0", "false", "no", "none")
    return bool(value)
