"""A folder of images and a folder of their masks, as a source of examples."""

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
    nothing_usable,
    read_file,
    record_of_labels,
    report_problems,
)
from samjax.data.folders import Listing, has_image_name, list_images
from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import ImageInfo, Record
from samjax.geometry.masks import mask_to_counts

# Images whose masks are looked at when a dataset is opened; those of the others are
# looked at when their turn comes.
_LOOKED_AT = 256
_THREADS = 4
_READ = ", ".join(sorted(MASK_SUFFIXES))


class FolderSource:
    """Examples of `images/` and `masks/` in a folder, paired by name.

    `samjax.data.finetune` has the layouts. Masks are read when their turn comes; those
    of some images, spread over the dataset, also when it is opened, to say what they
    are taken for, and to leave out those that are none.

    Args:
        path: Of the folder.
        separate: Whether each connected region of a label map is an object by itself.

    Attributes:
        groups: For each example, what must stay together in a split: its image's name
            without the suffix.
        problems: Images without masks, masks without images, and what is no mask.
        notes: What masks were taken for that are no clean label maps.

    Raises:
        ValueError: The folder has no such pairs, none that can be read, or two images
            of one name.
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
        problems = strays
        problems += [f"{images[s].name} has no mask" for s in images if s not in masks]
        if remark := listing.remark(path / "images"):
            problems.append(remark)
        self.groups = tuple(stem for stem in images if stem in masks)
        self._images = tuple(images[stem] for stem in self.groups)
        self._masks = tuple(masks[stem] for stem in self.groups)
        self._path, self._separate = path, separate
        left_out, notes = self._look()
        problems += left_out.values()
        kept = [i for i in range(len(self.groups)) if i not in left_out]
        if not kept:
            raise nothing_usable(path, "no image with a mask", problems)
        self.groups = tuple(self.groups[i] for i in kept)
        self._images = tuple(self._images[i] for i in kept)
        self._masks = tuple(self._masks[i] for i in kept)
        self.problems, self.notes = tuple(problems), tuple(notes)
        report_problems(path, self.problems, self.notes)

    def _look(self) -> tuple[dict[int, str], list[str]]:
        """Looks at the masks of some images.

        Returns:
            What is wrong with those that cannot be used, by their index, and notes.
        """
        count = len(self.groups)
        chosen = np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(int)
        left_out: dict[int, str] = {}
        notes: list[str] = []

        def look(index: int) -> tuple[int, int, str | list[str]]:
            try:
                record, said = self._record(index)
            except ValueError as error:
                return index, 0, str(error)
            return index, len(record["annotations"]), said

        with ThreadPoolExecutor(_THREADS) as pool:
            for index, number, said in pool.map(look, chosen.tolist()):
                if isinstance(said, str):
                    left_out[index] = said
                elif not number:
                    name = self._images[index].name
                    left_out[index] = "; ".join(said) or f"{name} has no object"
                else:
                    notes += said
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
        """Reads the masks of an image, and what to say of them.

        Raises:
            ValueError: One of them is no mask.
        """
        name, masks = self._images[index].name, self._masks[index]
        notes: list[str] = []

        def read(path: Path, find: Callable[[Path], Objects]) -> np.ndarray:
            labels, said = find(path)
            notes.extend(f"{path} {words}" for words in said)
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
            make_annotation(mask_to_counts(mask), size, number)
            for number, mask in enumerate(objects, start=1)
            if mask.any()
        ]
        image = ImageInfo(image_id=index, width=size[1], height=size[0], file_name=name)
        return Record(image=image, annotations=annotations), notes


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
    """The mask files of each image, and what is wrong with all other files."""
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
                strays.append(f"{item.name} is of no image")
        elif not _is_mask(item):
            strays.append(f"{item.name} is no mask: masks are read from {_READ}")
        else:
            stem = _owner(item.stem, images)
            if stem is None:
                strays.append(f"{item.name} is of no image")
            else:
                found.setdefault(stem, []).append(item)
    return {stem: tuple(files) for stem, files in found.items()}, strays


def _is_mask(file: Path) -> bool:
    return file.suffix.lower() in MASK_SUFFIXES and not file.name.startswith(".")


def _owner(stem: str, images: dict[str, Path]) -> str | None:
    """The image that a mask is of: of its own name, or of the longest up to a `_`."""
    # photo.jpg.png, as some tools name the mask of photo.jpg.
    if has_image_name(stem):
        stem = Path(stem).stem
    while stem not in images:
        stem, joint, _ = stem.rpartition("_")
        if not joint:
            return None
    return stem
