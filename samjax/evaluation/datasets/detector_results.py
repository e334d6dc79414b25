"""Results of a detector: a JSON list in COCO's form.

Each entry has `image_id`, `category_id`, `score` and a `bbox` (x, y, width, height in
pixels), a `segmentation` (run lengths), or both. Entries that cannot be used are left out
and listed.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from samjax.data.formats.coco_masks import are_numbers, is_number, read_mask
from samjax.data.formats.guards import whole_number
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.detections import Detection, rle_of_counts
from samjax.files import read_regular


class DetectorResults(NamedTuple):
    """The entries of a file of results.

    Attributes:
        boxes: Entries with a box by id of the image.
        masks: Detected masks by id of the image.
        skipped: Entries that were left out.
    """

    boxes: dict[int, list[dict[str, Any]]]
    masks: dict[int, list[Detection]]
    skipped: list[Skipped]


def read_results(
    path: Path,
    sizes: Mapping[int, tuple[int, int]],
    categories: Container[int] | None = None,
    *,
    left_out: Container[int] = (),
) -> DetectorResults:
    """Reads a file of results.

    Args:
        path: The file.
        sizes: (h, w) of the images by id.
        categories: The categories of the ground truth; None if they do not matter.
        left_out: Ids of images that are known and not evaluated; their entries are
            passed over.

    Raises:
        ValueError: It is no JSON list.
        OSError: It is not there or cannot be read.
    """
    try:
        content = json.loads(read_regular(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, list):
        raise ValueError(  # noqa: TRY004
            f"{path}: got JSON of another kind, expected a list of results as COCO's: "
            "image_id, category_id, bbox or segmentation, score"
        )
    results = DetectorResults({}, {}, [])
    for index, entry in enumerate(content):
        name = f"result {index} of {path.name}"
        image = whole_number(entry.get("image_id")) if _is_object(entry) else None
        if image is not None and image not in sizes and image in left_out:
            continue
        try:
            if image is None or image not in sizes:
                got = ascii(entry.get("image_id") if _is_object(entry) else entry)[:40]
                raise _Unusable("unknown image", f"got the image {got}")
            _read(entry, image, sizes[image], categories, name, results)
        except _Unusable as error:
            text = f"{name}: {error.detail}"
            results.skipped.append(Skipped(name, error.reason, text))
    return results


class _Unusable(Exception):
    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def _is_object(entry: Any) -> bool:
    return isinstance(entry, Mapping)


def _read(
    entry: Mapping[str, Any],
    image: int,
    size: tuple[int, int],
    categories: Container[int] | None,
    name: str,
    results: DetectorResults,
) -> None:
    """Adds an entry to the results of its image."""
    score: Any = entry.get("score")
    category: int | None = 0
    if not is_number(score):
        raise _Unusable("result without a score", f"got the score {ascii(score)[:40]}")
    if categories is not None:
        category = whole_number(entry.get("category_id"))
        if category is None or category not in categories:
            got = ascii(entry.get("category_id"))[:40]
            raise _Unusable("unknown category", f"got the category {got}")
    box: Any = entry.get("bbox")
    segmentation = entry.get("segmentation")
    has_box = are_numbers(box, 4) and min(box[2:]) > 0
    if not segmentation and not has_box:
        raise _Unusable("damaged box", f"got the box {ascii(box)[:60]}")
    if segmentation:
        try:
            counts, _ = read_mask(segmentation, size, name)
        except ValueError as error:
            raise _Unusable("damaged mask", str(error)) from error
        if not counts[1::2].sum():
            raise _Unusable("zero area", "its mask has no pixel")
        mask = rle_of_counts(counts, size)
        results.masks.setdefault(image, []).append(
            Detection(mask, float(score), category)
        )
    if has_box:
        results.boxes.setdefault(image, []).append(
            {"bbox": box, "score": float(score), "category_id": category}
        )
