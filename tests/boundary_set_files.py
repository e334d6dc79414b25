"""Small sets of photos with boundary maps, in both layouts of `boundary_sets`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from samjax.evaluation.metrics.edge_thinning import thin

SIZE = (48, 64)


def scene(number: int = 0) -> np.ndarray:
    """A photo of a bright square on a dark ground."""
    pixels = np.full((*SIZE, 3), 40, np.uint8)
    pixels[10 : 36 - number, 12 : 50 - number] = 210
    return pixels


def outlines(number: int = 0, annotators: int = 2) -> np.ndarray:
    """The outline of the square; each annotator but the first has it shifted by 1."""
    top, bottom, left, right = 10, 35 - number, 12, 49 - number
    first = np.zeros(SIZE, bool)
    first[[top, bottom], left : right + 1] = True
    first[top : bottom + 1, [left, right]] = True
    first = thin(first)
    shifted = np.roll(first, (1, 1), axis=(0, 1))
    return np.stack([first, *[shifted] * (annotators - 1)])


def write_bits(path: Path, maps: np.ndarray) -> None:
    """Writes boundary maps as the bits of a PNG file."""
    bits = (maps << np.arange(len(maps))[:, None, None]).sum(axis=0)
    Image.fromarray(bits.astype(np.uint8)).save(path)


def write_file_layout(
    folder: Path,
    count: int = 2,
    *,
    change: Callable[[dict], None] = lambda content: None,
) -> Path:
    """Writes a set with `annotations.json`.

    Args:
        folder: Where to.
        count: Number of photos.
        change: Is called with the content of the JSON file before it is written.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "boundaries").mkdir()
    images = []
    for number in range(count):
        image, bits = f"images/{number}.png", f"boundaries/{number}.png"
        Image.fromarray(scene(number)).save(folder / image)
        write_bits(folder / bits, outlines(number))
        images.append(
            {
                "id": number,
                "file_name": image,
                "height": SIZE[0],
                "width": SIZE[1],
                "split": "test",
                "annotators": 2,
                "boundaries": bits,
            }
        )
    content = {"images": images, "annotations": [], "categories": []}
    change(content)
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def write_mat(path: Path, maps: np.ndarray) -> None:
    """Writes boundary maps as a file of BSDS500."""
    from scipy.io import savemat

    cells = np.empty((1, len(maps)), object)
    for index, boundary in enumerate(maps):
        cells[0, index] = {
            "Segmentation": np.ones(boundary.shape, np.uint16),
            "Boundaries": boundary.astype(np.uint8),
        }
    savemat(path, {"groundTruth": cells})


def write_bsds(folder: Path, count: int = 2, split: str = "test") -> Path:
    """Writes a set in the layout of BSDS500."""
    images = folder / "BSDS500" / "data" / "images" / split
    truths = folder / "BSDS500" / "data" / "groundTruth" / split
    images.mkdir(parents=True)
    truths.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(scene(number)).save(images / f"{number}.jpg", quality=95)
        write_mat(truths / f"{number}.mat", outlines(number))
    return folder
