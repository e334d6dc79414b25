"""A folder per photo, with a mask file per object: BBBC038v1 (Data Science Bowl 2018)."""

from __future__ import annotations

import functools
from pathlib import Path

from samjax.data.folders import list_images
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import (
    Entries,
    Entry,
    Loaded,
    photo_of_masks,
)
from samjax.evaluation.datasets.layouts.label_maps import bright_pixels


def mask_folder_entries(folder: Path) -> Entries:
    """Lists photos of the layout `ID/images/ID.png`, `ID/masks/*.png`.

    Args:
        folder: The folder of the photos' folders.
    """
    photos, skipped = [], []
    for own in sorted(part for part in folder.iterdir() if part.is_dir()):
        images = list_images(own / "images").images if (own / "images").is_dir() else ()
        if len(images) != 1:
            detail = f"{own.name}: got {len(images)} photos in images/, expected one"
            skipped.append(Skipped(own.name, "missing photo", detail))
        elif not (own / "masks").is_dir():
            detail = f"{own.name}: there is no folder masks"
            skipped.append(Skipped(own.name, "no masks", detail))
        else:
            load = functools.partial(_load, own.name, images[0], own / "masks")
            photos.append(Entry(own.name, load))
    return Entries(photos, skipped)


def _load(name: str, image: Path, folder: Path) -> Loaded:
    masks, skipped = [], []
    for file in list_images(folder).images:
        label = f"{name}/masks/{file.name}"
        try:
            mask = bright_pixels(file, 0.0) > 0
        except ValueError as error:
            skipped.append(Skipped(label, "damaged mask", str(error)))
            continue
        if masks and mask.shape != masks[0].shape:
            detail = f"{label}: got a mask of {mask.shape}, expected {masks[0].shape}"
            skipped.append(Skipped(label, "mask of another size", detail))
        elif not mask.any():
            skipped.append(Skipped(label, "no pixel"))
        else:
            masks.append(mask)
    if not masks:
        raise ValueError(f"got no mask in {folder}")
    photo = photo_of_masks(
        name, image, [("nucleus", mask) for mask in masks], masks[0].shape
    )
    return Loaded(photo, skipped)
