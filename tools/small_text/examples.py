"""Images with their embeddings and the things in them that have texts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from embeddings import HELD_OUT
from jaxtyping import Bool, Float
from photos import NamedMask, Photo
from PIL import Image

from samjax.data.captioned import Caption, draw_scene

CELL = 4
"""Pixels of a mask, at the resolution of low-res masks, along a cell."""


class Target(NamedTuple):
    """Something that texts are true of.

    Attributes:
        name: Its name; for a drawn thing, that of the thing or of its owner.
        captions: Captions of a drawn thing; none for a name in a photo.
        covered: The share of each cell that it covers, all its instances together.
        largest: Its largest instance, at the resolution of low-res masks.
        count: Number of instances.
    """

    name: str
    captions: tuple[Caption, ...]
    covered: Float[np.ndarray, "g g"]
    largest: Bool[np.ndarray, "m m"]
    count: int


class Example(NamedTuple):
    """An image.

    Attributes:
        name: Its name.
        features: Its embedding, in float16.
        inside: The cells that are not padding.
        targets: The things in it.
        is_photo: Whether it is a photo.
        is_complete: Whether other names of COCO are absent.
        captions: What people wrote of it.
        is_held_out: Whether it is never trained on.
    """

    name: str
    features: Float[np.ndarray, "g g c"]
    inside: Bool[np.ndarray, "g g"]
    targets: list[Target]
    is_photo: bool
    is_complete: bool
    captions: tuple[str, ...]
    is_held_out: bool


def read_examples(folder: Path, photos: list[Photo]) -> list[Example]:
    """Reads all embeddings that are there, with what is known of their images.

    Every sixth photo with masks is held out.
    """
    examples = []
    for path in sorted(folder.glob("scene_*[0-9].npy")):
        examples.append(_scene(path))
    with_masks = 0
    for photo in photos:
        path = folder / f"{photo.name}.npy"
        with_masks += bool(photo.named)
        if path.is_file():
            held_out = bool(photo.named) and with_masks % 6 == 0
            examples.append(_photo(photo, np.load(path), held_out))
    return [example for example in examples if example.targets or example.captions]


def _scene(path: Path) -> Example:
    seed, features = int(path.stem.split("_")[1]), np.load(path)
    grid = len(features)
    targets = []
    for thing in draw_scene(seed, CELL * grid).objects:
        if thing.mask.sum() >= 2 * CELL:
            covered = _cells(thing.mask[None])
            name = thing.captions[0].part or thing.captions[0].thing
            targets.append(Target(name, thing.captions, covered, thing.mask, 1))
    inside = np.ones((grid, grid), bool)
    return Example(
        path.stem, features, inside, targets, False, True, (), seed >= HELD_OUT
    )


def _photo(photo: Photo, features: np.ndarray, held_out: bool) -> Example:
    grid = len(features)
    scale = grid * CELL / max(photo.size)
    height, width = (max(1, round(side * scale)) for side in photo.size)
    inside = np.zeros((grid, grid), bool)
    inside[: -(-height // CELL), : -(-width // CELL)] = True
    targets = [
        target
        for named in photo.named
        if (target := _target(named, (height, width), grid)) is not None
    ]
    return Example(
        photo.name,
        features,
        inside,
        targets,
        True,
        photo.is_complete,
        photo.captions,
        held_out,
    )


def _target(named: NamedMask, size: tuple[int, int], grid: int) -> Target | None:
    """Returns a name with its instances at low resolution; None if all are tiny."""
    height, width = size
    masks = np.zeros((len(named.masks), CELL * grid, CELL * grid), bool)
    for low, mask in zip(masks, named.masks, strict=True):
        resized = Image.fromarray(mask.astype(np.uint8) * 255).resize(
            (width, height), Image.Resampling.BOX
        )
        low[:height, :width] = np.asarray(resized) > 127
    areas = masks.sum((1, 2))
    if areas.max() < 3 * CELL * CELL:
        return None
    count = int((areas >= 0.3 * areas.max()).sum())
    return Target(named.name, (), _cells(masks), masks[areas.argmax()], count)


def _cells(masks: np.ndarray) -> np.ndarray:
    """Returns the share of each cell that any of the masks covers."""
    united = np.asarray(masks.any(0))
    grid = len(united) // CELL
    return united.reshape(grid, CELL, grid, CELL).mean((1, 3)).astype(np.float32)
