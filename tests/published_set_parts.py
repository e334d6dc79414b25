"""Photos, label maps and annotation files that small datasets in tests are made of."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from small_photo_set import SIZE, TWO, draw


def ring(top: int, left: int, side: int) -> list[int]:
    """The corners of a square as COCO has them."""
    bottom, right = top + side, left + side
    return [left, top, right, top, right, bottom, left, bottom]


RINGS = [ring(5, 5, 22), ring(30, 45, 25)]
"""The polygons of `TWO`."""


def save(path: Path, pixels: np.ndarray, **options) -> None:
    """Writes an image in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def photo(path: Path, masks: Sequence[np.ndarray] = TWO) -> None:
    """Writes a photo of drawn objects."""
    save(path, draw(masks))


def labels(values: Sequence[int], dtype=np.uint8, size=SIZE) -> np.ndarray:
    """A label map of the squares of `TWO`."""
    result = np.zeros(size, dtype)
    for mask, value in zip(TWO, values, strict=False):
        result[: SIZE[0], : SIZE[1]][mask] = value
    return result


def text(path: Path, content) -> None:
    """Writes JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def coco(names: Sequence[str], rings=RINGS, **more) -> dict:
    """A COCO file with the polygons in every photo."""
    return {
        "images": [
            {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for number, name in enumerate(names, start=1)
        ],
        "annotations": [
            {
                "id": 10 * number + index + 1,
                "image_id": number,
                "category_id": 1,
                "segmentation": [corners],
            }
            for number in range(1, len(names) + 1)
            for index, corners in enumerate(rings)
        ],
        "categories": [{"id": 1, "name": "thing"}],
        **more,
    }


def via_region(corners: list[int]) -> dict:
    """A polygon of VIA."""
    return {
        "shape_attributes": {
            "name": "polygon",
            "all_points_x": corners[::2],
            "all_points_y": corners[1::2],
        },
        "region_attributes": {"species": "thing"},
    }
