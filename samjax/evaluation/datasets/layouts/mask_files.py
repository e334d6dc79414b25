"""Photos with one mask file each: the sets of interactive segmentation and of HQ-SAM.

Masks may have any level: of GrabCut's, 128 is unknown truth. A photo of several objects
has a mask file each, whose names end in a letter (Berkeley).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Int

from samjax.data.finetune.reading import read_file
from samjax.data.folders import list_images
from samjax.data.whole_images import read_rgb
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import Entries, Entry, find_folder
from samjax.evaluation.datasets.layouts.label_maps import (
    LabelMaps,
    MapReader,
    bright_pixels,
    void_of,
)

_VOID = 2


def read_grabcut(path: Path) -> Entries:
    """Lists the photos of GrabCut, whose band of 128 is unknown truth."""
    rule = LabelMaps(read=_trimap, meaning=void_of(_VOID))
    return _mask_files(path, "data_GT", "boundary_GT", rule)


def read_berkeley(path: Path) -> Entries:
    """Lists the masks of Berkeley, of which a photo may have several."""
    return _mask_files(path, "images", "masks", _rule(_half))


def read_any_level(path: Path) -> Entries:
    """Lists the photos of DAVIS and COCO_MVal in RITM's form: any level is object."""
    return _mask_files(path, "img", "gt", _rule(_any_level))


def read_dis(path: Path) -> Entries:
    """Lists the photos of DIS5K's DIS-VD."""
    folder = find_folder(path, "DIS5K/DIS-VD", "DIS-VD", "")
    return _mask_files(folder, "im", "gt", _rule(_half))


def read_coift(path: Path) -> Entries:
    """Lists the photos of COIFT."""
    folder = find_folder(path, "thin_object_detection/COIFT", "COIFT", "")
    return _mask_files(folder, "images", "masks", _rule(_half))


def read_hrsod(path: Path) -> Entries:
    """Lists the photos of HRSOD's part in HQSeg-44K."""
    folder = find_folder(path, "thin_object_detection/HRSOD", "HRSOD", "")
    return _mask_files(folder, "images", "masks_max255", _rule(_half))


def read_thin_objects(path: Path) -> Entries:
    """Lists the test photos of ThinObject5K."""
    inner = "thin_object_detection/ThinObject5K"
    folder = find_folder(path, inner, "ThinObject5K", "")
    return _mask_files(folder, "images_test", "masks_test", _rule(_half))


def read_sbd(path: Path) -> Entries:
    """Lists the photos of SBD's split val; every instance is an object."""
    folder = find_folder(path, "benchmark_RELEASE/dataset", "dataset", "")
    names = (folder / "val.txt").read_text("utf-8").split()
    rule = LabelMaps(read=_instances_of_sbd, meaning=void_of(255))
    photos, skipped = [], []
    for name in sorted(names):
        image, file = folder / "img" / f"{name}.jpg", folder / "inst" / f"{name}.mat"
        if file.is_file():
            load = functools.partial(rule.load, image.name, image, file)
            photos.append(Entry(image.name, load))
        else:
            skipped.append(Skipped(image.name, "no masks", f"there is no {file}"))
    return Entries(photos, skipped)


def _mask_files(path: Path, images: str, masks: str, rule: LabelMaps) -> Entries:
    """Lists masks with their photos, which have the same stem or that without a letter."""
    by_stem = {
        file.stem: file for file in list_images(find_folder(path, images)).images
    }
    photos, skipped, used = [], [], set()
    for file in list_images(find_folder(path, masks)).images:
        stem = file.stem if file.stem in by_stem else file.stem.rstrip("abcdefgh")
        image = by_stem.get(stem)
        if image is None:
            detail = f"{file.name}: there is no photo of this mask in {images}"
            skipped.append(Skipped(file.name, "missing photo", detail))
            continue
        used.add(stem)
        photos.append(
            Entry(file.name, functools.partial(rule.load, file.name, image, file))
        )
    for stem in sorted(by_stem.keys() - used):
        name = by_stem[stem].name
        skipped.append(
            Skipped(name, "no masks", f"{name}: there is no mask in {masks}")
        )
    return Entries(photos, skipped)


def _rule(read: MapReader) -> LabelMaps:
    return LabelMaps(read=read)


def _half(path: Path) -> Int[np.ndarray, "h w"]:
    """Reads a mask as a map: 1 above 128."""
    return bright_pixels(path, 128 / 255)


def _any_level(path: Path) -> Int[np.ndarray, "h w"]:
    """Reads a mask as a map: 1 where any channel is above 0."""
    levels = read_rgb(read_file(path), path.name)
    return np.asarray(levels.any(axis=2), np.int32)


def _trimap(path: Path) -> Int[np.ndarray, "h w"]:
    """Reads a mask as a map: 1 above 128, and unknown truth at 128."""
    levels = read_rgb(read_file(path), path.name)[..., 0]
    return np.where(levels > 128, 1, np.where(levels == 128, _VOID, 0)).astype(np.int32)


def _instances_of_sbd(path: Path) -> Int[np.ndarray, "h w"]:
    """Reads the instances of a file of SBD."""
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(path)["GTinst"][0, 0]["Segmentation"]).astype(
            np.int32
        )
    except Exception as error:
        # The reader of MATLAB's files raises many kinds of errors on damaged ones.
        raise ValueError(f"{path.name}: no file of SBD's instances: {error}") from error
