"""Referring expressions: RefCOCO, RefCOCO+ and RefCOCOg (Yu et al., Mao et al., 2016).

The published layout is a folder with `instances.json`, in COCO's format, and one pickle
for each division into splits, `refs(unc).p`, `refs(google).p` or `refs(umd).p`: a list of
references, each to an annotation of an image, with its sentences. The photos are those of
COCO's train2014. Pickles are read without the means to execute anything
(`samjax.files.pickles`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samjax.data.folders import list_files
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.photo_sets import Photo, PhotoSet, read_photo_set
from samjax.evaluation.datasets.selection import (
    Selection,
    folder_and_split,
    spread,
)
from samjax.files import open_regular
from samjax.files.pickles import read_plain_pickle
from samjax.geometry.masks import counts_to_mask

DIVISIONS = ("unc", "umd", "google")
"""Names of the divisions, in the order in which a folder's is chosen."""

INSTANCES = "instances.json"
MOST_BYTES = 2**27
"""Largest pickle that is read; RefCOCO's have some 40 MB."""


class Expression(NamedTuple):
    """A sentence that refers to an object.

    Attributes:
        text: The sentence, in lower case and without punctuation as published (`sent`).
        sentence: Its id.
        reference: Id of the reference that it belongs to.
        annotation: Id of the object's annotation.
    """

    text: str
    sentence: int
    reference: int
    annotation: int


@dataclass(frozen=True, eq=False)
class ReferredObjects:
    """The objects of a split, one target for every expression.

    `Sample.truth["captions"]` has the expressions, `Sample.truth["other_captions"]` for
    each that of another object of the photo, or of the set where the photo has none.

    Attributes:
        name: Name of the folder and the split.
        photo_set: The photos with the objects that are referred to.
        expressions: The expressions of the split.
        selection: The photos and objects to score.
        unusable: References that were left out.
    """

    name: str
    photo_set: PhotoSet
    expressions: tuple[Expression, ...]
    selection: Selection
    unusable: tuple[Skipped, ...] = ()

    @property
    def skipped(self) -> Sequence[Skipped]:
        """References, annotations and images that are left out."""
        objects = self._objects
        lost = [
            Skipped(
                f"reference {of.reference}",
                "no such object",
                f"reference {of.reference}: got the annotation {of.annotation}, expected "
                f"one with a mask in {INSTANCES}",
            )
            for of in {of.reference: of for of in self.expressions}.values()
            if of.annotation not in objects
        ]
        return (*self.unusable, *self.photo_set.skipped, *lost)

    @property
    def small(self) -> int:
        """Number of expressions whose object is below the least area."""
        areas = {
            annotated.annotation_id: annotated.area
            for photo in self.photo_set.photos
            for annotated in photo.objects
        }
        least = self.selection.min_area
        return sum(areas.get(of.annotation, least) < least for of in self.expressions)

    @cached_property
    def _objects(self) -> dict[int, tuple[Photo, int]]:
        """The photo of every annotation, and the object's index in it."""
        return {
            annotated.annotation_id: (photo, index)
            for photo in self.photo_set.photos
            for index, annotated in enumerate(photo.objects)
        }

    @cached_property
    def photos(self) -> list[tuple[Photo, list[Expression]]]:
        """The selected photos, each with the expressions of its objects."""
        of_photo: dict[str, tuple[Photo, list[Expression]]] = {}
        for expression in self.expressions:
            place = self._objects.get(expression.annotation)
            if place is None:
                continue
            photo, index = place
            if photo.objects[index].area >= self.selection.min_area:
                of_photo.setdefault(photo.name, (photo, []))[1].append(expression)
        photos = list(of_photo.values())
        return [photos[index] for index in spread(len(photos), self.selection.images)]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        photo, expressions = self.photos[index]
        try:
            image = photo.read()
        except ValueError as error:
            return Skipped(photo.name, "damaged or missing photo", str(error))
        targets, objects = [], []
        for expression in expressions:
            annotated = photo.objects[self._objects[expression.annotation][1]]
            targets.append(counts_to_mask(annotated.counts, photo.size))
            objects.append(
                {
                    "photo": photo.name,
                    "annotation": annotated.annotation_id,
                    "reference": expression.reference,
                    "sentence": expression.sentence,
                    "category": annotated.category,
                    "area": annotated.area,
                    "caption": expression.text,
                }
            )
        return Sample(
            name=photo.name,
            image=image,
            targets=np.array(targets, bool),
            objects=objects,
            truth={
                "captions": [of.text for of in expressions],
                "other_captions": [self._other(of, expressions) for of in expressions],
            },
        )

    def _other(self, expression: Expression, here: Sequence[Expression]) -> str:
        """Returns an expression of another object; the same one in every run."""
        generator = np.random.default_rng(
            [self.selection.seed, zlib.crc32(str(expression.sentence).encode())]
        )
        others = [of for of in here if of.annotation != expression.annotation]
        others = others or self.expressions
        # Of the whole set, the next one of another object from a drawn place on.
        start = int(generator.integers(len(others)))
        for step in range(len(others)):
            other = others[(start + step) % len(others)]
            if other.annotation != expression.annotation:
                return other.text
        raise ValueError(f"{self.name}: expected expressions of several objects")


def is_referring(path: Path) -> bool:
    """Whether a path is of the layout: a folder with a pickle of references, or one.

    Args:
        path: FOLDER or FILE, with `:SPLIT` behind it or not.
    """
    place, _ = folder_and_split(path)
    if place.is_dir():
        return (place / INSTANCES).is_file() and bool(_divisions(place))
    return division_of(place) is not None and place.is_file()


def read_referring(path: Path, selection: Selection) -> ReferredObjects:
    """Opens a split of a set of referring expressions.

    Args:
        path: The folder, or one of its pickles where it has several; with `:SPLIT`
            behind it (`val`, `testA`, `testB`, `test`, `train`), `val` without it.
        selection: The photos and objects to score.

    Raises:
        ValueError: It is no such set, or has no expression of the split.
        OSError: It is not there or cannot be read.
    """
    place, split = folder_and_split(path)
    split = split or "val"
    file = _divisions(place)[0] if place.is_dir() else place
    with open_regular(file) as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"{file} is larger than {MOST_BYTES} bytes, expected a list of references"
        )
    try:
        content = read_plain_pickle(data)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    unusable: list[Skipped] = []
    expressions = tuple(read_expressions(content, split, file, unusable))
    if not expressions:
        there = sorted(
            {of["split"] for of in content if isinstance(of, Mapping) and _is_split(of)}
        )
        raise ValueError(
            f"{file}: got no expression of the split {split!r}, expected one of "
            f"{', '.join(there) or 'its splits'}: name it as {place}:SPLIT"
        )
    if len({of.annotation for of in expressions}) < 2:
        raise ValueError(
            f"{file}: got expressions of one object in the split {split!r}, expected "
            "several: a wrong text is the expression of another one"
        )
    photo_set = _read_photos(file.parent, {of.annotation for of in expressions})
    return ReferredObjects(
        name=f"{file.resolve().parent.name} {split} ({division_of(file)})",
        photo_set=photo_set,
        expressions=expressions,
        selection=selection,
        unusable=tuple(unusable),
    )


def division_of(file: Path) -> str | None:
    """Returns the name of the division that a pickle has; None if it is none."""
    name = file.name.removeprefix("refs(").removesuffix(").p")
    return name if file.name == f"refs({name}).p" and name else None


def read_expressions(
    content: Any, split: str, file: Path, unusable: list[Skipped]
) -> Iterator[Expression]:
    """Reads the expressions of a split from what a pickle has.

    Args:
        content: The list of references.
        split: The split.
        file: The pickle, for errors.
        unusable: Damaged references and sentences are appended.

    Raises:
        ValueError: It is no list.
    """
    if not isinstance(content, list):
        raise ValueError(  # noqa: TRY004 (of a file, not of an argument)
            f"{file}: got a {type(content).__name__}, expected a list of references"
        )
    for index, entry in enumerate(content):
        if not isinstance(entry, Mapping) or not _is_split(entry):
            unusable.append(_damaged(f"reference {index} of the file", "a split"))
        elif entry["split"] == split:
            yield from _of_reference(entry, index, unusable)


def _of_reference(
    entry: Mapping[str, Any], index: int, unusable: list[Skipped]
) -> Iterator[Expression]:
    """Reads the expressions of one reference."""
    name = f"reference {ascii(entry.get('ref_id', index))[:40]}"
    reference, annotation = entry.get("ref_id"), entry.get("ann_id")
    if not (type(reference) is int and type(annotation) is int):
        unusable.append(_damaged(name, "integers as ref_id and ann_id"))
        return
    sentences = entry.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        unusable.append(_damaged(name, "a list of sentences"))
        return
    for sentence in sentences:
        text = sentence.get("sent") if isinstance(sentence, Mapping) else None
        number = sentence.get("sent_id") if isinstance(sentence, Mapping) else None
        if type(number) is not int or not isinstance(text, str) or not text.strip():
            unusable.append(_damaged(name, "a text (sent) and an id for each sentence"))
        else:
            yield Expression(text, number, reference, annotation)


def _is_split(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("split"), str)


def _damaged(name: str, expected: str) -> Skipped:
    return Skipped(name, "damaged reference", f"{name}: expected {expected}")


def _divisions(folder: Path) -> list[Path]:
    """Returns the pickles of references in a folder, the usual division first."""
    files = [file for file in list_files(folder, ".p") if division_of(file)]
    order = {name: number for number, name in enumerate(DIVISIONS)}
    return sorted(
        files, key=lambda file: (order.get(str(division_of(file)), 9), file.name)
    )


def _read_photos(folder: Path, annotations: set[int]) -> PhotoSet:
    """Reads the annotations that are referred to, and the photos that have them."""

    def choose(content: dict[str, Any]) -> None:
        # Of the file's 200,000 masks a split needs a few thousand.
        chosen = [of for of in content["annotations"] if of.get("id") in annotations]
        images = [of["image_id"] for of in chosen if type(of.get("image_id")) is int]
        wanted = set(images)
        content["annotations"] = chosen
        content["images"] = [of for of in content["images"] if of.get("id") in wanted]

    found = read_photo_set(folder / INSTANCES, images=folder, change=choose)
    images = _photo_folder(folder, [photo.name for photo in found.photos])
    photos = [replace(photo, path=images / photo.name) for photo in found.photos]
    return replace(found, photos=tuple(photos))


def _photo_folder(folder: Path, names: Sequence[str]) -> Path:
    """Returns the folder of COCO's photos: beside the pickles, or as `refer` has them.

    Raises:
        ValueError: No place that is looked at has one of the first photos.
    """
    first = names[:20]
    places = [folder / place for place in PLACES]
    for place in places:
        if any((place / name).is_file() for name in first):
            return place
    shown = ", ".join(str(place) for place in places)
    raise ValueError(
        f"{folder}: got no photo such as {first[0]}, expected COCO's "
        f"train2014 in one of {shown}"
    )


PLACES = (
    "images",
    "train2014",
    "images/train2014",
    "../images/mscoco/images/train2014",
    "../images/train2014",
    "../train2014",
    "../images",
    ".",
)
