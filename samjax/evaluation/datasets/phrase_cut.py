"""PhraseCut: regions of photos that a phrase describes (Wu et al., CVPR 2020).

The published layout is a folder with a file for each split, `refer_val.json` and so on,
and the photos of Visual Genome in `images`, named by their ids. Each task of a file has a
phrase and the polygons of all instances that it describes; the target is their union.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from samjax.data.finetune.reading import read_file
from samjax.data.folders import list_files
from samjax.data.whole_images import read_rgb
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.selection import Selection, folder_and_split, spread
from samjax.files import open_regular
from samjax.geometry.polygons import polygons_to_counts, polygons_to_mask

MOST_BYTES = 2**29
"""Largest file that is read; that of the training split has 400 MB."""


MOST_SIDE = 2**16


class Task(NamedTuple):
    """A phrase and the region that it describes.

    Attributes:
        name: Its id (`task_id`).
        image: Id of the photo.
        phrase: The phrase.
        annotations: Ids of the instances, in Visual Genome.
        polygons: Outlines of all instances, corners (x, y) in pixels.
    """

    name: str
    image: int
    phrase: str
    annotations: frozenset[int]
    polygons: tuple[Float[np.ndarray, "n 2"], ...]


@dataclass(frozen=True, eq=False)
class PhraseRegions:
    """The photos of a split, one target for every phrase.

    `Sample.truth["captions"]` has the phrases, `Sample.truth["other_captions"]` for each
    that of other instances of the photo, or of the split where the photo has none.

    Attributes:
        name: Name of the folder and the split.
        images: Folder of the photos.
        tasks: The tasks of the split.
        selection: The photos and regions to score.
        skipped: Damaged tasks.
    """

    name: str
    images: Path
    tasks: tuple[Task, ...]
    selection: Selection
    skipped: tuple[Skipped, ...] = ()

    @property
    def small(self) -> int:
        """Number of regions below the least area, wherever the photo's edges are."""
        return sum(_area(task) < self.selection.min_area for task in self.tasks)

    @cached_property
    def photos(self) -> list[list[Task]]:
        """The tasks of each of the selected photos."""
        of_photo: dict[int, list[Task]] = {}
        for task in self.tasks:
            of_photo.setdefault(task.image, []).append(task)
        photos = list(of_photo.values())
        return [photos[index] for index in spread(len(photos), self.selection.images)]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        tasks = self.photos[index]
        path = self.images / f"{tasks[0].image}.jpg"
        try:
            image = read_rgb(read_file(path), path.name)
        except ValueError as error:
            return Skipped(path.name, "damaged or missing photo", str(error))
        kept, targets = [], []
        for task in tasks:
            try:
                mask = polygons_to_mask(task.polygons, image.shape[:2])
            except ValueError as error:
                return Skipped(path.name, "damaged task", f"{task.name}: {error}")
            if np.count_nonzero(mask) >= self.selection.min_area:
                kept.append(task)
                targets.append(mask)
        if not kept:
            return Skipped(path.name, f"no region of {self.selection.min_area} pixels")
        return Sample(
            name=path.name,
            image=image,
            targets=np.array(targets, bool),
            objects=[
                {
                    "photo": path.name,
                    "task": task.name,
                    "instances": len(task.annotations),
                    "area": int(np.count_nonzero(mask)),
                    "caption": task.phrase,
                }
                for task, mask in zip(kept, targets, strict=True)
            ],
            truth={
                "captions": [task.phrase for task in kept],
                "other_captions": [self._other(task, kept) for task in kept],
                "all_instances": True,
            },
        )

    def _other(self, task: Task, here: Sequence[Task]) -> str:
        """Returns a phrase of other instances; the same one in every run."""
        generator = np.random.default_rng(
            [self.selection.seed, zlib.crc32(task.name.encode())]
        )
        others = [of for of in here if not of.annotations & task.annotations]
        # Of the whole split, one of another photo.
        others = others or [of for of in self.tasks if of.image != task.image]
        return others[int(generator.integers(len(others)))].phrase


def is_phrase_cut(path: Path) -> bool:
    """Whether a path is of the layout: a folder with a file of tasks, or such a file.

    Args:
        path: FOLDER or FILE, with `:SPLIT` behind it or not.
    """
    place, _ = folder_and_split(path)
    return bool(_splits(place)) if place.is_dir() else _split_of(place) is not None


def read_phrase_cut(path: Path, selection: Selection) -> PhraseRegions:
    """Opens a split of PhraseCut.

    Args:
        path: The folder, with `:SPLIT` behind it (`val`, `test`, `miniv`, `train`), `val`
            without it; or the file of a split.
        selection: The photos and regions to score.

    Raises:
        ValueError: It is no such set, or has tasks of one photo alone.
        OSError: It is not there or cannot be read.
    """
    place, split = folder_and_split(path)
    file = place / f"refer_{split or 'val'}.json" if place.is_dir() else place
    if not file.is_file():
        there = ", ".join(_splits(place)) or "none"
        raise ValueError(
            f"{file} is not there, expected one of the splits {there}: name it as "
            f"{place}:SPLIT"
        )
    with open_regular(file) as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{file} is larger than {MOST_BYTES} bytes, expected tasks")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    damaged: list[Skipped] = []
    tasks = tuple(read_tasks(content, file, damaged))
    if len({task.image for task in tasks}) < 2:
        raise ValueError(
            f"{file}: got phrases of {len({task.image for task in tasks})} photos, "
            "expected several: a wrong text is a phrase of another one"
        )
    return PhraseRegions(
        name=f"{file.resolve().parent.name} {_split_of(file)}",
        images=file.parent / "images",
        tasks=tasks,
        selection=selection,
        skipped=tuple(damaged),
    )


def read_tasks(content: Any, file: Path, damaged: list[Skipped]) -> Iterator[Task]:
    """Reads the tasks of a split.

    Args:
        content: The JSON.
        file: The file, for errors.
        damaged: Damaged tasks are appended.

    Raises:
        ValueError: It is no list.
    """
    if not isinstance(content, list):
        raise ValueError(  # noqa: TRY004 (of a file, not of an argument)
            f"{file}: got a {type(content).__name__}, expected a list of tasks"
        )
    for index, entry in enumerate(content):
        task = _read_task(entry)
        if task is None:
            name = entry.get("task_id", index) if isinstance(entry, Mapping) else index
            name = f"task {ascii(name)[:40]}"
            said = f"{name}: expected task_id, image_id, ann_ids, phrase and Polygons"
            damaged.append(Skipped(name, "damaged task", said))
        else:
            yield task


def _read_task(entry: Any) -> Task | None:
    """Reads a task; None where a field is missing or of another kind."""
    try:
        name, image, phrase = entry["task_id"], entry["image_id"], entry["phrase"]
        annotations = frozenset(entry["ann_ids"])
        polygons = tuple(
            np.array(polygon, np.float64)
            for instance in entry["Polygons"]
            for polygon in instance
        )
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    is_read = (
        isinstance(name, str)
        and type(image) is int
        and isinstance(phrase, str)
        and bool(phrase.strip())
        and all(type(annotation) is int for annotation in annotations)
        and bool(polygons)
        and all(of.ndim == 2 and of.shape[1] == 2 for of in polygons)
    )
    return Task(name, image, phrase, annotations, polygons) if is_read else None


def _area(task: Task) -> int:
    """Returns the number of pixels of a region, without the size of its photo."""
    corners = np.concatenate(task.polygons)
    if not np.isfinite(corners).all() or corners.max() > MOST_SIDE:
        return 0
    width, height = (max(1, int(side) + 1) for side in corners.max(0))
    try:
        return int(polygons_to_counts(task.polygons, (height, width))[1::2].sum())
    except ValueError:
        return 0


def _splits(folder: Path) -> list[str]:
    names = (_split_of(file) for file in list_files(folder, ".json"))
    return [name for name in names if name is not None]


def _split_of(file: Path) -> str | None:
    """Returns the split that a file of tasks has; None if it is none."""
    name = file.name.removeprefix("refer_").removesuffix(".json")
    return name if file.name == f"refer_{name}.json" and name else None
