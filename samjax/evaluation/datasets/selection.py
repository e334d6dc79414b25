"""The part of a dataset that is scored: a split, by area, and a repeatable draw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The images and objects of a dataset to score.

    Attributes:
        min_area: Least number of pixels of an object in the image.
        images: Most images, spread evenly over the dataset; None for all.
        objects: Most objects per image, drawn at random; None for all.
        seed: Seed of that draw.
    """

    min_area: int = 400
    images: int | None = None
    objects: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("min_area", "images", "objects"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"got {name}={value}, expected at least 1")

    def draw(
        self, indices: Integer[np.ndarray, " n"], key: int
    ) -> Integer[np.ndarray, " m"]:
        """Returns at most `objects` of the indices, in order.

        Args:
            indices: The objects to choose from.
            key: A number of the image, so that images are drawn from independently.
        """
        if self.objects is None or self.objects >= len(indices):
            return indices
        rng = np.random.default_rng([self.seed, key])
        return np.sort(rng.choice(indices, self.objects, replace=False))


def folder_and_split(path: Path) -> tuple[Path, str]:
    """Splits PATH:SPLIT; the split is "" where there is none."""
    place, _, split = str(path).rpartition(":")
    if place and not path.exists() and Path(place).exists():
        return Path(place), split
    return path, ""


def spread(count: int, most: int | None) -> list[int]:
    """Returns at most `most` indices below `count`, evenly spread; None returns all."""
    if most is None or most >= count:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist()
