"""Source of examples from a folder of images and a folder of their masks."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from samjax.data.examples import RawExample
from samjax.data.finetune.mask_files import MASK_SUFFIXES, read_labels, read_object
from samjax.data.finetune.mask_pixels import Objects
from samjax.data.finetune.reading import (
    in_its_frame,
    read_file,
    record_of_labels,
    report_problems,
    unusable_dataset,
)
from samjax.data.folders import Listing, has_image_name, list_images
from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import ImageInfo, Record
from samjax.geometry.masks import mask_to_counts

# Number of images whose masks are checked when a dataset is opened; the others are
# checked on access.
_CHECKED = 256
_THREADS = 4
_READ = ", ".join(sorted(MASK_SUFFIXES))


class FolderSource:
    """The examples of a folder with `images/` and `masks/`, paired by name.

    The layouts are in `samjax.data.finetune`. Masks are read on access; those of a
    sample of images, spread over the dataset, are also read when it is opened, to
    report how they are interpreted and to leave out files that are not masks.

    Args:
        path: Path of the folder.
        separate: Whether each connected region of a label map is an object of its own.

    Attributes:
        groups: The group of each example that a split must not divide: its image's name
            without the suffix.
        problems: Images without masks, masks without images, and files that are not
            masks.
        notes: How masks that are not clean label maps were interpreted.

    Raises:
        ValueError: The folder has no such pairs, none that can be read, or two images
            with the same name.
        OSError: The folder does not exist or cannot be read.
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
        problems = strays
        problems += [f"{images[s].name} has no mask" for s in images if s not in masks]
        if remark := listing.remark(path / "images"):
            problems.append(remark)
        self.groups = tuple(stem for stem in images if stem in masks)
        self._images = tuple(images[stem] for stem in self.groups)
        self._masks = tuple(masks[stem] for stem in self.groups)
        self._path, self._separate = path, separate
        left_out, notes = self._check_sample()
        problems += left_out.values()
        kept = [i for i in range(len(self.groups)) if i not in left_out]
        if not kept:
            raise unusable_dataset(path, "no image with a mask", problems)
        self.groups = tuple(self.groups[i] for i in kept)
        self._images = tuple(self._images[i] for i in kept)
        self._masks = tuple(self._masks[i] for i in kept)
        self.problems, self.notes = tuple(problems), tuple(notes)
        report_problems(path, self.problems, self.notes)

    def _check_sample(self) -> tuple[dict[int, str], list[str]]:
        """Reads the masks of a sample of images.

        Returns:
            The problems of examples that cannot be used, by their index, and notes.
        """
        count = len(self.groups)
        chosen = np.linspace(0, count - 1, min(count, _CHECKED)).round().astype(int)
        left_out: dict[int, str] = {}
        notes: list[str] = []

        def check(index: int) -> tuple[int, int, str | list[str]]:
            try:
                record, remarks = self._record(index)
            except ValueError as error:
                return index, 0, str(error)
            return index, len(record["annotations"]), remarks

        with ThreadPoolExecutor(_THREADS) as pool:
            for index, mask_count, remarks in pool.map(check, chosen.tolist()):
                if isinstance(remarks, str):
                    left_out[index] = remarks
                elif not mask_count:
                    name = self._images[index].name
                    left_out[index] = "; ".join(remarks) or f"{name} has no object"
                else:
                    notes += remarks
        return left_out, notes

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> RawExample:
        image, problem = self._images[index], None
        record = data = None
        try:
            record, _ = self._record(index)
        except ValueError as error:
            problem = str(error)
        try:
            data = read_file(image)
        except ValueError as error:
            problem = problem or str(error)
        if record is not None:
            record = in_its_frame(data, record, self._path)
        return RawExample(image.name, data, record, problem)

    def _record(self, index: int) -> tuple[Record, list[str]]:
        """Reads the masks of an image; returns its record and notes.

        Raises:
            ValueError: One of the files is not a mask.
        """
        name, masks = self._images[index].name, self._masks[index]
        notes: list[str] = []

        def read(path: Path, find: Callable[[Path], Objects]) -> np.ndarray:
            labels, remarks = find(path)
            notes.extend(f"{path} {remark}" for remark in remarks)
            return labels

        if len(masks) == 1 and masks[0].stem in (Path(name).stem, name):
            labels = read(masks[0], read_labels)
            record = record_of_labels(labels, index, name, separate=self._separate)
            return record, notes
        objects = [read(mask, read_object) > 0 for mask in masks]
        size = objects[0].shape
        if any(mask.shape != size for mask in objects):
            raise ValueError(
                f"{name}: got masks of the sizes {sorted({m.shape for m in objects})}, "
                "expected one"
            )
        annotations = [
            make_annotation(mask_to_counts(mask), size, mask_id)
            for mask_id, mask in enumerate(objects, start=1)
            if mask.any()
        ]
        image = ImageInfo(image_id=index, width=size[1], height=size[0], file_name=name)
        return Record(image=image, annotations=annotations), notes


def _images(listing: Listing) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for file in listing.images:
        if file.stem in images:
            raise ValueError(
                f"{images[file.stem]} and {file.name} have the same name, expected "
                "different ones: rename one, and its masks"
            )
        images[file.stem] = file
    return images


def _masks_by_stem(
    folder: Path, images: dict[str, Path]
) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """Returns the mask files of each image, and a message for each other file."""
    masks: dict[str, list[Path]] = {}
    strays = []
    for item in sorted(folder.iterdir()):
        if item.name.startswith("."):
            continue
        if item.is_dir():
            inside = [file for file in sorted(item.iterdir()) if _is_mask(file)]
            if item.name in images and inside:
                masks.setdefault(item.name, []).extend(inside)
            else:
                strays.append(f"{item.name} belongs to no image")
        elif not _is_mask(item):
            strays.append(f"{item.name} is no mask: masks are read from {_READ}")
        else:
            stem = _owner(item.stem, images)
            if stem is None:
                strays.append(f"{item.name} belongs to no image")
            else:
                masks.setdefault(stem, []).append(item)
    return {stem: tuple(files) for stem, files in masks.items()}, strays


def _is_mask(file: Path) -> bool:
    return file.suffix.lower() in MASK_SUFFIXES and not file.name.startswith(".")


def _owner(stem: str, images: dict[str, Path]) -> str | None:
    """Finds the image of a mask: the longest prefix, cut at a `_`, that names an image."""
    # Some tools name the mask of photo.jpg photo.jpg.png.
    if has_image_name(stem):
        stem = Path(stem).stem
    while stem not in images:
        stem, joint, _ = stem.rpartition("_")
        if not joint:
            return None
    return stem
