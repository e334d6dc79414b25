"""Small COCO and LVIS files with drawn photos, and a detector's results."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from small_photo_set import SIZE, TWO, square, write_set

from samjax.geometry.masks import encode_rle

RED, GREEN = 3, 8


def write_coco(folder: Path, change: Callable[[dict], None] = lambda content: None):
    """Writes three photos of two squares, with categories by the square.

    Annotation ids begin at 0, which pycocotools takes for "unmatched".
    """

    def as_coco(content):
        content["categories"] = [
            {"id": RED, "name": "red square"},
            {"id": GREEN, "name": "green square"},
        ]
        for number, entry in enumerate(content["annotations"]):
            mask = TWO[number % 2]
            top, left = np.argwhere(mask)[0]
            side = int(np.sqrt(mask.sum()))
            entry["id"] = number
            entry["category_id"] = (RED, GREEN)[number % 2]
            entry["bbox"] = [int(left), int(top), side, side]
            entry["area"] = float(mask.sum())
        change(content)

    return write_set(folder, [TWO, TWO, TWO], change=as_coco)


def write_lvis(folder: Path):
    """Writes the same photos as LVIS v1 does: addresses, frequencies, federated fields.

    Red squares are rare, green ones frequent. In the last photo green squares are not
    annotated exhaustively, and red ones are absent and known to be.
    """

    def as_lvis(content):
        for entry, frequency in zip(content["categories"], "rf", strict=True):
            entry["frequency"] = frequency
        for image in content["images"]:
            name = image.pop("file_name")
            image["coco_url"] = f"http://images.example/{name}"
            image["neg_category_ids"] = image["not_exhaustive_category_ids"] = []
        content["images"][2]["neg_category_ids"] = [RED]
        content["images"][2]["not_exhaustive_category_ids"] = [GREEN]
        del content["annotations"][4]

    return write_coco(folder, as_lvis)


def write_results(path: Path, results: list[dict]) -> Path:
    """Writes results of a detector."""
    path.write_text(json.dumps(results))
    return path


def true_results(masks: bool = False) -> list[dict]:
    """The right boxes, or masks, of all squares of `write_coco`."""
    results = []
    for image in range(3):
        for index, mask in enumerate(TWO):
            top, left = (int(side) for side in np.argwhere(mask)[0])
            side = int(np.sqrt(mask.sum()))
            found = {"segmentation": encode_rle(mask)}
            if not masks:
                found = {"bbox": [left, top, side, side]}
            results.append(
                {
                    "image_id": image,
                    "category_id": (RED, GREEN)[index],
                    "score": 0.9 - 0.1 * index,
                }
                | found
            )
    return results


def stray_result(score: float, category: int = RED, image: int = 2) -> dict:
    """A result on the ground."""
    mask = square(2, 60, 8, SIZE)
    return {
        "image_id": image,
        "category_id": category,
        "score": score,
        "bbox": [60, 2, 8, 8],
        "segmentation": encode_rle(mask),
    }
