"""Records of masks as SA-1B writes them: one JSON file per image.

    {"image": {"image_id", "width", "height", "file_name"},
     "annotations": [{"bbox", "area", "segmentation", ...}, ...]}

Boxes are XYWH and points XY, in pixels of the image; boxes end at the last pixel, so a
mask of one pixel has width 0. Masks are COCO's compressed run lengths. There are no
class labels.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from samjax.data.orientation import FrameName
from samjax.files import json_text
from samjax.geometry.masks import Rle


class Annotation(TypedDict):
    """One mask, its fields in SA-1B's order.

    Attributes:
        bbox: x, y, width, height of the mask's box.
        area: Number of pixels.
        segmentation: The mask.
        predicted_iou: The model's own estimate of the mask's quality.
        point_coords: The points that prompted the mask.
        crop_box: x, y, width, height of the crop that the mask was made in.
        id: Number of the mask, unique in its dataset.
        stability_score: IoU of the mask with itself at a lower and a higher threshold.
        parent: Not in SA-1B: id of the smallest mask that contains it, None for none.
        depth: Not in SA-1B: 0 for a whole, 1 for a part of it, 2 for a subpart.
        agreement: Not in SA-1B: IoU with the masks found in other views of the image
            (`samjax.engine.pseudo_labels`).
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


class ImageInfo(TypedDict):
    """The image of a record.

    Attributes:
        image_id: Number of the image, unique in its dataset.
        width: In pixels.
        height: In pixels.
        file_name: Of the image, without a folder.
        frame: Not in SA-1B: whether width, height and masks are of the image turned
            upright by its EXIF orientation, or of its pixels as they are stored. SA-1B's
            own are of the stored ones (`samjax.data.orientation`).
    """

    image_id: int
    width: int
    height: int
    file_name: str
    frame: NotRequired[FrameName]


class Record(TypedDict):
    """An image and its masks: one file of SA-1B."""

    image: ImageInfo
    annotations: list[Annotation]


def record_to_json(record: Record) -> str:
    """Writes a record as one line of strict JSON."""
    return json_text(record, separators=(",", ":"))


def record_from_json(text: str | bytes) -> Record:
    """Reads a record and checks that every field is there and of its kind.

    Whether a mask's run lengths are sound is for `geometry.masks.decode_rle` to find.

    Raises:
        ValueError: Not JSON, or fields are missing or of the wrong kind; all of them
            are named.
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
        place = f"annotations[{index}]"
        problems += _field_problems(annotation, _ANNOTATION_FIELDS, place)
    return problems


def _field_problems(fields: Any, expected: Mapping[str, Any], place: str) -> list[str]:
    if not isinstance(fields, Mapping):
        return [f"{place}: expected an object, got {type(fields).__name__}"]
    problems = []
    for name, (description, holds) in expected.items():
        if name not in fields:
            problems.append(f"{place}.{name} is missing")
        elif not holds(fields[name]):
            got = repr(fields[name])[:40]
            problems.append(f"{place}.{name}: expected {description}, got {got}")
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
