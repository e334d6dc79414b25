"""Photos with a map of labels each: instances, classes, or one mask.

A rule says what every label of a map is: an object of a category, a region of unknown
truth, or no object.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from samjax.data.finetune.reading import read_file, record_of_labels, separated
from samjax.data.formats.label_map import read_label_map
from samjax.data.whole_images import read_rgb
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import (
    Entries,
    Entry,
    Loaded,
    photo_of_counts,
)
from samjax.evaluation.datasets.photo_sets import IGNORE
from samjax.geometry.masks import run_lengths

MapReader = Callable[[Path], Integer[np.ndarray, "h w"]]


class NoObject(NamedTuple):
    """The meaning of a label that is no object.

    Attributes:
        reason: Why its region is left out and listed; "" for background.
    """

    reason: str = ""


def every_label(label: int) -> str | NoObject:
    """Takes every label but 0 for an object."""
    return str(label)


def void_of(void: int) -> Callable[[int], str | NoObject]:
    """Returns the meanings of class ids of which one is unknown truth.

    Args:
        void: That label.
    """
    return lambda label: IGNORE if label == void else str(label)


@dataclass(frozen=True, kw_only=True)
class LabelMaps:
    """How the maps of a dataset are read.

    Attributes:
        read: Reads a map; 0 is background.
        meaning: Category of a label, `IGNORE` for regions of unknown truth, or
            `NoObject`.
        separate: Whether each connected region of a label is an object.
    """

    read: MapReader = field(default=read_label_map)
    meaning: Callable[[int], str | NoObject] = every_label
    separate: bool = False

    def load(self, name: str, image: Path, file: Path) -> Loaded:
        """Reads the map of a photo.

        Args:
            name: Name of the photo in the dataset.
            image: Its file.
            file: The map.

        Raises:
            ValueError: The map is damaged.
            OSError: It is not there or cannot be read.
        """
        labels = self.read(file)
        labels = separated(labels) if self.separate else labels
        record = record_of_labels(labels, 0, name, separate=False)
        objects, ignored, left_out = [], [], Counter()
        for annotation in record["annotations"]:
            meaning = self.meaning(annotation["id"])
            counts = run_lengths(annotation["segmentation"])
            if isinstance(meaning, NoObject):
                left_out[meaning.reason] += 1
            elif meaning == IGNORE:
                ignored.append(counts)
            else:
                objects.append((meaning, counts))
        skipped = [
            Skipped(name, reason)
            for reason, count in left_out.items()
            for _ in range(count)
            if reason
        ]
        height, width = labels.shape
        photo = photo_of_counts(name, image, objects, (height, width), tuple(ignored))
        return Loaded(photo, skipped)


def map_entries(
    folder: Path,
    images: str | Iterable[str],
    map_of: Callable[[Path], Path],
    rule: LabelMaps,
    *,
    maps: Iterable[str] = (),
) -> Entries:
    """Lists photos with their maps.

    Args:
        folder: Folder of the dataset.
        images: Patterns of the photos' paths below it.
        map_of: Returns the path of a photo's map.
        rule: How maps are read.
        maps: Patterns of the maps' paths, to list those without a photo.
    """
    patterns = [images] if isinstance(images, str) else images
    photos, skipped, claimed = [], [], set()
    for image in sorted({file for one in patterns for file in folder.glob(one)}):
        name = image.relative_to(folder).as_posix()
        if image.name.startswith("."):
            continue
        file = map_of(image)
        if not file.is_file():
            skipped.append(Skipped(name, "no masks", f"{name}: there is no {file}"))
            continue
        claimed.add(file)
        photos.append(Entry(name, functools.partial(rule.load, name, image, file)))
    for file in sorted({file for one in maps for file in folder.glob(one)}):
        if file not in claimed and not file.name.startswith("."):
            name = file.relative_to(folder).as_posix()
            skipped.append(
                Skipped(name, "missing photo", f"{name}: there is no photo of this map")
            )
    return Entries(photos, skipped)


def bright_pixels(path: Path, above: float) -> Int[np.ndarray, "h w"]:
    """Reads a mask as a map: 1 where the red or grey level is above a share of 255.

    Raises:
        ValueError: The file is damaged, or no image.
    """
    levels = read_rgb(read_file(path), path.name)[..., 0]
    return (levels > 255 * above).astype(np.int32)


def beside(image: Path, folder: str, suffix: str = ".png") -> Path:
    """Returns the file of a photo's name in a folder beside the photo's.

    Args:
        image: The photo.
        folder: Name of the other folder.
        suffix: Suffix of the file.
    """
    return image.parent.parent / folder / f"{image.stem}{suffix}"


def renamed(image: Path, ending: str, other: str) -> Path:
    """Returns the file whose name has another ending than the photo's.

    Args:
        image: The photo.
        ending: The end of its name.
        other: The end of the file's.
    """
    return image.with_name(image.name.removesuffix(ending) + other)
