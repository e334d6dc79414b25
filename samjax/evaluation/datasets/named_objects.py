"""Photos with objects that their name tells apart: one object of a category in a photo."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.photo_samples import PhotoSamples
from samjax.evaluation.datasets.photo_sets import Photo


@dataclass(frozen=True, eq=False)
class NamedObjects(PhotoSamples):
    """The objects of a photo set that are the only ones of their category in the photo.

    `Sample.truth["captions"]` has a text for each, the name of its category with an
    article; `Sample.truth["other_captions"]` that of another category of the photo, or of
    the set where the photo has none. `Sample.truth["absent"]` has for each the name of a
    category of the set that no object of the photo has, unless the photo has all: sets
    whose photos are not annotated completely overstate what is found of these.
    """

    @property
    def name(self) -> str:
        """Name of the photo set."""
        return f"{self.photo_set.name}, named objects"

    def has_object(self, photo: Photo) -> bool:
        """Whether a photo has such an object of at least the least area."""
        return bool(self._unique(photo))

    @cached_property
    def categories(self) -> list[str]:
        """The names of all categories of the set's objects, in order."""
        photos = self.photo_set.photos
        return sorted({o.category for photo in photos for o in photo.objects})

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        photo, sample = self.photos[index], super().__getitem__(index)
        if isinstance(sample, Skipped):
            return sample
        unique = self._unique(photo)
        kept = [i for i, o in enumerate(sample.objects) if o["annotation"] in unique]
        if not kept:
            return Skipped(photo.name, "no object that its name tells apart")
        names = [str(sample.objects[i]["category"]) for i in kept]
        captions = [with_article(name) for name in names]
        here = sorted({entry.category for entry in photo.objects})
        others = [self._other(name, here, photo.name) for name in names]
        missing = [name for name in self.categories if name not in here]
        absent = [self._draw(missing, f"{photo.name} {n} absent") for n in names]
        return Sample(
            name=sample.name,
            image=sample.image,
            targets=sample.targets[kept],
            objects=[
                {**sample.objects[i], "caption": caption}
                for i, caption in zip(kept, captions, strict=True)
            ],
            ignored=sample.ignored,
            truth={"captions": captions, "other_captions": others}
            | ({"absent": absent} if missing else {}),
        )

    def _unique(self, photo: Photo) -> set[int]:
        """Returns the annotations that are the only ones of their category."""
        counts = Counter(entry.category for entry in photo.objects)
        return {
            entry.annotation_id
            for entry in photo.objects
            if counts[entry.category] == 1 and entry.area >= self.selection.min_area
        }

    def _other(self, name: str, here: Sequence[str], photo: str) -> str:
        others = [other for other in here if other != name]
        others = others or [other for other in self.categories if other != name]
        return self._draw(others, f"{photo} {name}")

    def _draw(self, names: Sequence[str], key: str) -> str:
        """Draws a name, by a key: the same one whatever other photos are selected."""
        generator = np.random.default_rng(
            [self.selection.seed, zlib.crc32(key.encode())]
        )
        return with_article(str(generator.choice(names))) if names else ""


def with_article(name: str) -> str:
    """Returns a name as people ask for it: "a cup", "an apple"."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
