"""ADE20K: classes and instances packed into the colours of PNG files.

`NAME_seg.png` has the objects, `NAME_parts_1.png` their parts, `NAME_parts_2.png` parts of
these. Red and green are the class, `red // 10 * 256 + green`; equal blue is one instance,
and 0 none.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from samjax.data.finetune.reading import read_file
from samjax.data.whole_images import read_rgb
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import (
    Entries,
    Entry,
    Loaded,
    photo_of_masks,
)


def ade20k_entries(folder: Path, pattern: str, *, parts: bool = True) -> Entries:
    """Lists the photos of ADE20K as distributed.

    Args:
        folder: The folder of the split.
        pattern: Pattern of the photos' paths below it.
        parts: Whether parts of objects are objects too.
    """
    photos, skipped = [], []
    for image in sorted(folder.glob(pattern)):
        name = image.relative_to(folder).as_posix()
        packed = image.with_name(f"{image.stem}_seg.png")
        if not packed.is_file():
            skipped.append(Skipped(name, "no masks", f"{name}: there is no {packed}"))
            continue
        levels = sorted(image.parent.glob(f"{image.stem}_parts_*.png")) if parts else []
        load = functools.partial(_load, name, image, [packed, *levels])
        photos.append(Entry(name, load))
    return Entries(photos, skipped)


def _load(name: str, image: Path, files: list[Path]) -> Loaded:
    masks, skipped, size = [], [], None
    for level, file in enumerate(files):
        try:
            # As integers: 8 bits would overflow.
            pixels = read_rgb(read_file(file), file.name).astype(np.int32)
        except ValueError as error:
            if level == 0:
                raise
            skipped.append(Skipped(file.name, "damaged masks of parts", str(error)))
            continue
        size = size or pixels.shape[:2]
        if pixels.shape[:2] != size:
            detail = f"{file.name}: got {pixels.shape[:2]}, expected {size}"
            skipped.append(Skipped(file.name, "mask of another size", detail))
            continue
        classes = pixels[..., 0] // 10 * 256 + pixels[..., 1]
        for instance in np.unique(pixels[..., 2]):
            if instance == 0:
                continue
            mask = pixels[..., 2] == instance
            category = np.bincount(classes[mask]).argmax()
            masks.append((f"{'part' if level else 'object'} {category}", mask))
    assert size is not None  # the first file is read or an error
    return Loaded(photo_of_masks(name, image, masks, size), skipped)
