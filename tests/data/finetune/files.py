"""Small datasets on disk: squares at known positions on images of noise."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 32)  # h, w


def noise(seed: int) -> np.ndarray:
    """An image, uint8 (h, w, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def square(top: int, left: int, side: int) -> np.ndarray:
    """A mask, bool (h, w)."""
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def save(path: Path, pixels: np.ndarray) -> None:
    """Writes an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def coco_folder(folder: Path, *, images="images", file="annotations.json") -> Path:
    """Three images: polygons, run lengths, none at all."""
    for number in range(3):
        save(folder / images / f"photo {number}.png", noise(number))
    polygon = [4, 2, 10, 2, 10, 8, 4, 8]
    runs = {"size": list(SIZE), "counts": [0, 5, SIZE[0] * SIZE[1] - 5]}
    content = {
        "images": [
            {
                "id": n,
                "file_name": f"photo {n}.png",
                "height": SIZE[0],
                "width": SIZE[1],
            }
            for n in range(3)
        ],
        "annotations": [
            {"id": 1, "image_id": 0, "iscrowd": 0, "segmentation": [polygon]},
            {"id": 2, "image_id": 1, "iscrowd": 0, "segmentation": runs},
        ],
    }
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
