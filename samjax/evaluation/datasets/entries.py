"""Photos whose masks are read photo by photo, and their sampling: for published sets.

A reader of `layouts` lists the photos of a set without reading their masks, which takes
a second where decoding every mask would take hours. Damaged masks are left out and
listed when their photo is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.photo_samples import sample_of_photo
from samjax.evaluation.datasets.photo_sets import Photo, PhotoObject
from samjax.evaluation.datasets.selection import Selection, spread
from samjax.geometry.masks import mask_to_counts


class Loaded(NamedTuple):
    """A photo with its masks.

    Attributes:
        photo: The photo.
        skipped: Annotations of it that are left out.
    """

    photo: Photo
    skipped: Sequence[Skipped] = ()


class Entry(NamedTuple):
    """A photo of a set.

    Attributes:
        name: Its name, unique in the set.
        load: Reads its masks; a ValueError says why they cannot be used.
    """

    name: str
    load: Callable[[], Loaded]


class Entries(NamedTuple):
    """The photos of a set.

    Attributes:
        photos: Those with masks.
        skipped: Parts of the set that are left out.
    """

    photos: Sequence[Entry]
    skipped: Sequence[Skipped] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class EntrySamples:
    """Photos of a published set as a `Dataset`.

    Attributes:
        name: Name of the set.
        photos: The photos.
        selection: The photos and objects to score.
        skipped: Parts that were left out when the set was opened.
    """

    name: str
    photos: Sequence[Entry]
    selection: Selection
    skipped: Sequence[Skipped] = ()
    small: int = 0

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        entry = self.photos[index]
        try:
            loaded = entry.load()
        except (ValueError, OSError) as error:
            detail = f"{entry.name}: {error}"
            return Skipped(entry.name, "missing or damaged masks", detail)
        sample = sample_of_photo(loaded.photo, self.selection)
        if isinstance(sample, Skipped):
            return sample
        small = len(loaded.photo.objects) - len(sample.targets)
        if self.selection.objects is not None:
            # Objects that were not drawn are not too small.
            small = sum(
                part.area < self.selection.min_area for part in loaded.photo.objects
            )
        too_small = [Skipped(entry.name, "too small")] * small
        return dataclasses.replace(sample, skipped=[*loaded.skipped, *too_small])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the names of the photos, which tells one sample from another."""
        text = "\n".join(entry.name for entry in self.photos)
        return hashlib.sha256(text.encode()).hexdigest()


def open_entries(
    name: str, entries: Entries, selection: Selection, least_masks: int | None = None
) -> EntrySamples:
    """Returns the selected photos of a set as a dataset.

    Args:
        name: Name of the set.
        entries: Its photos.
        selection: The photos and objects to score.
        least_masks: Number of masks to sample photos for (`sample_entries`); None keeps
            all photos.

    Raises:
        ValueError: There is no photo.
    """
    if not entries.photos:
        reasons = "; ".join(f"{part.name}: {part.reason}" for part in entries.skipped)
        raise ValueError(
            f"the set {name} has no photo with masks"
            f"{': ' if reasons else ''}{reasons[:200]}"
        )
    photos = sorted(entries.photos, key=lambda entry: entry.name)
    if least_masks is not None:
        photos = sample_entries(photos, least_masks, selection.seed)
    chosen = [photos[index] for index in spread(len(photos), selection.images)]
    return EntrySamples(
        name=name, photos=tuple(chosen), selection=selection, skipped=entries.skipped
    )


def sample_entries(
    photos: Sequence[Entry], least_masks: int, seed: int
) -> Sequence[Entry]:
    """Draws photos at random until they have enough masks, as SAM did (appendix D.1).

    The paper sampled sets of more than 15k masks to about 10k; its lists are not
    published. Photos of which the masks cannot be read count as having none.

    Args:
        photos: The photos, in the order of their names.
        least_masks: Number of masks at which it ends.
        seed: Seed of the order in which photos are drawn.

    Returns:
        The photos drawn, in the order of their names.
    """
    masks, drawn = 0, []
    for index in np.random.default_rng(seed).permutation(len(photos)):
        if masks >= least_masks:
            break
        drawn.append(index)
        try:
            masks += len(photos[index].load().photo.objects)
        except (ValueError, OSError):
            continue
    return [photos[index] for index in sorted(drawn)]


def photo_of_masks(
    name: str,
    path: Path,
    masks: Sequence[tuple[str, Bool[np.ndarray, "h w"]]],
    size: tuple[int, int],
    ignored: Bool[np.ndarray, "h w"] | None = None,
) -> Photo:
    """Returns a photo with masks that are numbered from 1.

    Args:
        name: Its name in the set.
        path: Its file.
        masks: Category and mask (h, w) of each object.
        size: (h, w) of the masks.
        ignored: Pixels of unknown truth.
    """
    return photo_of_counts(
        name,
        path,
        [(category, mask_to_counts(mask)) for category, mask in masks],
        size,
        () if ignored is None or not ignored.any() else (mask_to_counts(ignored),),
    )


def photo_of_counts(
    name: str,
    path: Path,
    masks: Sequence[tuple[str, Int[np.ndarray, " _"]]],
    size: tuple[int, int],
    ignored: tuple[Int[np.ndarray, " _"], ...] = (),
    read_bytes: Callable[[], bytes] | None = None,
) -> Photo:
    """Returns a photo with masks of run lengths, which are numbered from 1.

    Args:
        name: Its name in the set.
        path: Its file.
        masks: Category and run lengths of each object.
        size: (h, w) of the masks.
        ignored: Run lengths of regions of unknown truth.
        read_bytes: Reads the file if it is not at `path`.
    """
    return Photo(
        name=name,
        path=path,
        size=size,
        objects=tuple(
            PhotoObject(number, category, counts)
            for number, (category, counts) in enumerate(masks, start=1)
        ),
        ignored=ignored,
        read_bytes=read_bytes,
    )


def find_folder(path: Path, *inner: str) -> Path:
    """Returns the first folder below a path that is there.

    Args:
        path: The path that the user names.
        inner: Folders below it that are tried in this order; "" is the path itself.

    Raises:
        ValueError: None is there.
        OSError: The path is not there.
    """
    path.stat()
    for name in inner:
        if (path / name).is_dir():
            return path / name
    found = sorted(item.name for item in path.iterdir())[:5] if path.is_dir() else []
    raise ValueError(
        f"{path}: expected the folder {' or '.join(filter(None, inner))}, got "
        f"{', '.join(found) or 'nothing'}"
    )
