"""Draws a small dataset of microscopy images of cells, to try fine-tuning on.

    python tools/cell_images.py cells --images 60
    samjax train configs/train/finetune.py --data.path cells --initial tiny

Writes `images/` and `masks/`, label maps, in the layout of `FolderSource`. The images
differ from photos, and from the scenes that `tiny` was trained on: they have no colour;
a cell is as bright as the background and visible only by its thin dark rim, its bright
halo and its grain; cells touch each other.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from samjax.data.formats import write_label_map

HEIGHT, WIDTH = 384, 512


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws a small dataset of cells.")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    for index in range(options.images):
        image, labels = draw_cells(np.random.default_rng([options.seed, index]))
        Image.fromarray(image).save(options.out / "images" / f"cells_{index:03d}.png")
        write_label_map(options.out / "masks" / f"cells_{index:03d}.png", labels)
    print(f"{options.images} images: {options.out}")


def draw_cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws an image, uint8 (h, w), and its label map, int32 (h, w)."""
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    rim = np.zeros((HEIGHT, WIDTH))
    for label in range(1, rng.integers(10, 28)):
        depth = cell_depth(rng)
        inside = (depth > 0) & (labels == 0)
        # Skip cells that are mostly hidden, or of a few pixels.
        if inside.sum() < max(0.6 * (depth > 0).sum(), 250):
            continue
        labels[inside] = label
        edge = np.abs(depth)
        rim = np.where(inside | (labels == 0), rim - np.exp(-((edge / 1.5) ** 2)), rim)
        halo = np.exp(-(((depth + 4) / 2.5) ** 2))
        rim += np.where(labels == 0, 0.6 * halo, 0)
    ground = 128 + 25 * smooth(rng, 120)
    grain = 9 * smooth(rng, 2) + 6 * smooth(rng, 5)
    image = ground + np.where(labels > 0, 1.6, 0.7) * grain + 38 * rim
    image += rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8), labels


def cell_depth(rng: np.random.Generator) -> np.ndarray:
    """Returns the approximate distance of each pixel inside a random cell's outline."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    x = x - rng.uniform(0, WIDTH)
    y = y - rng.uniform(0, HEIGHT)
    tilt = rng.uniform(0, np.pi)
    along = x * np.cos(tilt) + y * np.sin(tilt)
    across = y * np.cos(tilt) - x * np.sin(tilt)
    radius = rng.uniform(16, 46)
    stretch = rng.uniform(1.0, 1.9)
    angle = np.arctan2(across * stretch, along)
    outline = np.ones_like(angle)
    for wave in range(2, 6):
        phase, size = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.16 / wave)
        outline += size * np.cos(wave * angle + phase)
    return radius * outline - np.hypot(along, across * stretch) / np.sqrt(stretch)


def smooth(rng: np.random.Generator, radius: float) -> np.ndarray:
    """Draws noise at a scale in pixels, with mean 0 and standard deviation about 1."""
    coarse = rng.normal(size=(int(HEIGHT / radius) + 2, int(WIDTH / radius) + 2))
    noise = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 0.7


if __name__ == "__main__":
    main()
