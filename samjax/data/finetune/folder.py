"""A folder of images and a folder of their masks, as a source of examples."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from samjax.data.examples import RawExample
from samjax.data.finetune.reading import (
    in_its_frame,
    nothing_usable,
    read_file,
    record_of_labels,
    report_problems,
)
from samjax.data.folders import Listing, list_images
from samjax.data.formats.annotations import bare_annotation
from samjax.data.schema import ImageInfo, Record
from samjax.geometry.masks import mask_to_counts

# What masks are read from. JPEG is not among them: its edges are of no label.
MASK_SUFFIXES = frozenset({".bmp", ".gif", ".png", ".tif", ".tiff"})
_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "RGB", "RGBA", "LA")


class FolderSource:
    """Examples of `images/` and `masks/` in a folder, paired by name.

    `samjax.data.finetune` has the layouts. Masks are read when their turn comes.

    Args:
        path: Of the folder.
        separate: Whether each connected region of a label map is an object by itself.

    Attributes:
        groups: For each example, what must stay together in a split: its image's name
            without the suffix.
        problems: Images without masks and masks without images.

    Raises:
        ValueError: The folder has no such pairs, or two images of one name.
        OSError: It is not there or cannot be read.
    """

    def __init__(self, path: str | os.PathLike, *, separate: bool = False):
        path = Path(path)
        for folder in (path / "images", path / "masks"):
            if not folder.is_dir():
                inside = sorted(item.name for item in path.iterdir())[:5]
                raise ValueError(
                    f"{path} has no folder {folder.name}, but {', '.join(inside) or 'nothing'}:"
                    " expected images/ and masks/, paired by name"
                )
        listing = list_images(path / "images")
        images = _images(listing)
        masks, strays = _masks_by_stem(path / "masks", images)
        problems = [f"{name} is of no image" for name in strays]
        problems += [f"{images[s].name} has no mask" for s in images if s not in masks]
        if remark := listing.remark(path / "images"):
            problems.append(remark)
        self.groups = tuple(stem for stem in images if stem in masks)
        if not self.groups:
            raise nothing_usable(path, "no image with a mask", problems)
        self._images = tuple(images[stem] for stem in self.groups)
        self._masks = tuple(masks[stem] for stem in self.groups)
        self._path, self._separate = path, separate
        self.problems = tuple(problems)
        report_problems(path, self.problems)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> RawExample:
        image, masks = self._images[index], self._masks[index]
        try:
            record = self._record(index, image.name, masks)
        except ValueError:
            return RawExample(image.name, read_file(image), None)
        data = read_file(image)
        return RawExample(image.name, data, in_its_frame(data, record, self._path))

    def _record(self, index: int, name: str, masks: tuple[Path, ...]) -> Record:
        if len(masks) == 1 and masks[0].stem == Path(name).stem:
            labels = read_labels(masks[0])
            return record_of_labels(labels, index, name, separate=self._separate)
        objects = [read_object(mask) for mask in masks]
        size = objects[0].shape
        if any(mask.shape != size for mask in objects):
            raise ValueError(f"the masks of {name} are of several sizes")
        annotations = [
            bare_annotation(mask_to_counts(mask), size, number)
            for number, mask in enumerate(objects, start=1)
        ]
        image = ImageInfo(image_id=index, width=size[1], height=size[0], file_name=name)
        return Record(image=image, annotations=annotations)


def read_labels(path: Path) -> Int[np.ndarray, "h w"]:
    """Reads a label map: grey, a palette's places, or colours, each a label.

    Raises:
        ValueError: The file is not there, damaged, too large, or of floats.
    """
    pixels = _pixels(path)
    if pixels.ndim == 2:
        return pixels.astype(np.int32)
    colours = pixels[..., :3].astype(np.int32)
    return colours @ np.array([1 << 16, 1 << 8, 1], np.int32)


def read_object(path: Path) -> Bool[np.ndarray, "h w"]:
    """Reads the mask of one object: what is above half of the brightest.

    So soft edges fall on one side, and 1 is as good as 255.

    Raises:
        ValueError: The file is not there, damaged, too large, or of floats.
    """
    pixels = _pixels(path)
    grey = pixels[..., :3].max(axis=-1) if pixels.ndim == 3 else pixels
    return (2 * grey.astype(np.int64) > grey.max(initial=0)) & (grey > 0)


def _pixels(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # A mask above Pillow's bound is refused before it is decoded.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["BMP", "GIF", "PNG", "TIFF"]) as image:
                if image.mode not in _MODES:
                    raise ValueError(f"got the mode {image.mode}")
                return np.asarray(image.convert("L") if image.mode == "LA" else image)
    except Exception as error:
        # Pillow's readers raise what their formats make them.
        raise ValueError(f"{path} cannot be read as a mask: {error}") from error


def _images(listing: Listing) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for file in listing.images:
        if file.stem in images:
            raise ValueError(
                f"{images[file.stem]} and {file.name} have one name, expected one image "
                "for each: rename one, and its masks"
            )
        images[file.stem] = file
    return images


def _masks_by_stem(
    folder: Path, images: dict[str, Path]
) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """The mask files of each image, and the names of those that are of none."""
    found: dict[str, list[Path]] = {}
    strays = []
    for item in sorted(folder.iterdir()):
        if item.name.startswith("."):
            continue
        if item.is_dir():
            inside = [file for file in sorted(item.iterdir()) if _is_mask(file)]
            if item.name in images and inside:
                found.setdefault(item.name, []).extend(inside)
            else:
                strays.append(item.name)
        elif _is_mask(item):
            stem = _owner(item.stem, images)
            if stem is None:
                strays.append(item.name)
            else:
                found.setdefault(stem, []).append(item)
    return {stem: tuple(files) for stem, files in found.items()}, strays


def _is_mask(file: Path) -> bool:
    return file.suffix.lower() in MASK_SUFFIXES and not file.name.startswith(".")


def _owner(stem: str, images: dict[str, Path]) -> str | None:
    """The image that a mask is of: of its own name, or of the longest up to a `_`."""
    while stem not in images:
        stem, joint, _ = stem.rpartition("_")
        if not joint:
            return None
    return stem
