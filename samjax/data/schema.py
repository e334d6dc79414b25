"""Mask records in SA-1B's format: one JSON file per image.

    {"image": {"image_id", "width", "height", "file_name"},
     "annotations": [{"bbox", "area", "segmentation", ...}, ...]}

Boxes are XYWH and points XY, in pixels of the image; a box ends at the last pixel, so a
mask of one pixel has width 0. Masks are COCO's compressed RLE. There are no class
labels.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from samjax.data.orientation import FrameName
from samjax.files import KEY, json_text
from samjax.geometry.masks import Rle


class Annotation(TypedDict):
    """A mask with SA-1B's fields, in SA-1B's order.

    Attributes:
        bbox: x, y, width, height of the mask's box.
        area: Number of pixels.
        segmentation: The mask, run-length encoded.
        predicted_iou: The model's estimate of the IoU between mask and object.
        point_coords: The points that prompted the mask.
        crop_box: x, y, width, height of the crop in which the mask was predicted.
        id: Id of the mask, unique in its dataset.
        stability_score: IoU between the mask at a higher and at a lower threshold of
            its logits.
        parent: Not in SA-1B: id of the smallest mask that contains it, None for none.
        depth: Not in SA-1B: 0 for a whole, 1 for a part of it, 2 for a subpart.
        agreement: Not in SA-1B: IoU with the masks predicted in other views of the
            image.
        text: Not in SA-1B: the text that the mask was found for.
        text_score: Not in SA-1B: how well the text fits, 0 to 1.
    """

    bbox: list[float]
    area: int
    segmentation: Rle
    predicted_iou: float
    point_coords: list[list[float]]
    crop_box: list[float]
    id: int
    stability_score: float
    parent: NotRequired[int | None]
    depth: NotRequired[int]
    agreement: NotRequired[float]
    text: NotRequired[str]
    text_score: NotRequired[float]


class ImageInfo(TypedDict):
    """The image of a record.

    Attributes:
        image_id: Id of the image, unique in its dataset.
        width: Width in pixels.
        height: Height in pixels.
        file_name: Name of the image file, without a folder.
        frame: Not in SA-1B: whether width, height and masks refer to the image turned
            upright by its EXIF orientation or to the pixels as stored. Without the
            field, as in SA-1B, they refer to the stored pixels
            (`samjax.data.orientation`).
    """

    image_id: int
    width: int
    height: int
    file_name: str
    frame: NotRequired[FrameName]


class Record(TypedDict):
    """An image and its masks: the content of one of SA-1B's JSON files."""

    image: ImageInfo
    annotations: list[Annotation]


def record_to_json(record: Record, *, made_with: str = "") -> str:
    """Returns a record as one line of strict JSON.

    Args:
        record: The record.
        made_with: Mark of the file, if it gets one; readers drop it.
    """
    content = {**record, KEY: made_with} if made_with else record
    return json_text(content, separators=(",", ":"))


def record_from_json(text: str | bytes) -> Record:
    """Parses a record and checks that every field is present and of the right type.

    The RLE of the masks is not decoded; `samjax.geometry.masks.decode_rle` checks it.

    Raises:
        ValueError: The text is not JSON, or fields are missing or of the wrong type;
            the message lists them.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the record is not JSON: {error}") from error
    problems = _problems(content)
    if problems:
        shown = "; ".join(problems[:10])
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ValueError(f"not a record in SA-1B's form: {shown}{more}")
    content.pop(KEY, None)
    return content


def _problems(content: Any) -> list[str]:
    if not isinstance(content, Mapping):
        return [f"expected an object, got {type(content).__name__}"]
    problems = _field_problems(content.get("image"), _IMAGE_FIELDS, "image")
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        kind = type(annotations).__name__
        return [*problems, f"annotations: expected a list, got {kind}"]
    for index, annotation in enumerate(annotations):
        path = f"annotations[{index}]"
        problems += _field_problems(annotation, _ANNOTATION_FIELDS, path)
    return problems


def _field_problems(fields: Any, expected: Mapping[str, Any], path: str) -> list[str]:
    if not isinstance(fields, Mapping):
        return [f"{path}: expected an object, got {type(fields).__name__}"]
    problems = []
    for name, (description, holds) in expected.items():
        if name not in fields:
            problems.append(f"{path}.{name} is missing")
        elif not holds(fields[name]):
            got = repr(fields[name])[:40]
            problems.append(f"{path}.{name}: expected {description}, got {got}")
    return problems


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _are_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list) and len(value) == count and all(map(_is_number, value))
    )


def _is_box(value: Any) -> bool:
    return _are_numbers(value, 4)


def _are_points(value: Any) -> bool:
    return isinstance(value, list) and all(_are_numbers(point, 2) for point in value)


def _is_mask(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _are_numbers(value.get("size"), 2)
        and all(map(_is_integer, value["size"]))
        and isinstance(value.get("counts"), str)
    )


_INTEGER = ("an integer", _is_integer)
_NUMBER = ("a finite number", _is_number)
_BOX = ("four numbers", _is_box)

_IMAGE_FIELDS = {
    "image_id": _INTEGER,
    "width": _INTEGER,
    "height": _INTEGER,
    "file_name": ("text", lambda value: isinstance(value, str)),
}
_ANNOTATION_FIELDS = {
    "bbox": _BOX,
    "area": _INTEGER,
    "segmentation": ("run lengths with size and counts", _is_mask),
    "predicted_iou": _NUMBER,
    "point_coords": ("a list of points", _are_points),
    "crop_box": _BOX,
    "id": _INTEGER,
    "stability_score": _NUMBER,
}
