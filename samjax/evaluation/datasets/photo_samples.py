"""Photo sets as datasets of suites: the photos and objects that are scored."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.photo_sets import Photo, PhotoSet
from samjax.evaluation.datasets.selection import Selection, spread


@dataclass(frozen=True, eq=False)
class PhotoSamples:
    """A photo set as a `Dataset`.

    Attributes:
        photo_set: The photo set.
        selection: The photos and objects to score.
    """

    photo_set: PhotoSet
    selection: Selection

    @property
    def name(self) -> str:
        """Name of the photo set."""
        return self.photo_set.name

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Annotations and images that were left out when the annotations were read."""
        return self.photo_set.skipped

    @property
    def small(self) -> int:
        """Number of annotated objects below the least area, in all photos of the set."""
        return sum(
            annotated.area < self.selection.min_area
            for photo in self.photo_set.photos
            for annotated in photo.objects
        )

    @cached_property
    def photos(self) -> list[Photo]:
        """The selected photos, each with an object of at least the least area."""
        photos = [photo for photo in self.photo_set.photos if self.has_object(photo)]
        return [photos[index] for index in spread(len(photos), self.selection.images)]

    def has_object(self, photo: Photo) -> bool:
        """Whether a photo has an object to score."""
        least = self.selection.min_area
        return any(annotated.area >= least for annotated in photo.objects)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        return sample_of_photo(self.photos[index], self.selection)


def sample_of_photo(photo: Photo, selection: Selection) -> Sample | Skipped:
    """Decodes a photo and its selected objects; a damaged photo is `Skipped`."""
    try:
        image = photo.read()
    except ValueError as error:
        return Skipped(photo.name, "damaged or missing photo", str(error))
    indices, masks, ignored = choose_objects(photo, selection)
    return Sample(
        name=photo.name,
        image=image,
        targets=masks,
        objects=[
            {
                "photo": photo.name,
                "annotation": photo.objects[index].annotation_id,
                "category": photo.objects[index].category,
                "area": photo.objects[index].area,
            }
            for index in indices
        ],
        ignored=ignored,
    )


def choose_objects(
    photo: Photo, selection: Selection
) -> tuple[list[int], Bool[np.ndarray, "k h w"], Bool[np.ndarray, "h w"] | None]:
    """Returns the selected objects of a photo.

    Returns:
        Their indices in `photo.objects`, their masks, and the ignored pixels.
    """
    masks, ignored = photo.masks(), photo.ignored_pixels()
    counted = masks if ignored is None else masks & ~ignored
    areas = np.count_nonzero(counted, axis=(1, 2))
    indices = np.flatnonzero(areas >= selection.min_area)
    # By name, so that an object is drawn or not whatever other photos are selected.
    indices = selection.draw(indices, zlib.crc32(photo.name.encode()))
    return indices.tolist(), masks[indices], ignored
