"""Published datasets: where they come from, and how they are read and sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from samjax.evaluation.datasets.entries import Entries, EntrySamples, open_entries
from samjax.evaluation.datasets.selection import Selection

SAMPLED_MASKS = 10_000
"""Masks up to which sets of more than 15,000 are sampled, as SAM did (appendix D.1)."""


class Download(NamedTuple):
    """A file of a dataset that may be downloaded without registration.

    Attributes:
        url: Its address.
        size: Its bytes; None if unknown.
        md5: Its MD5 in hexadecimal; None if its publisher gives none.
    """

    url: str
    size: int | None = None
    md5: str | None = None


class PaperCounts(NamedTuple):
    """What SAM's paper says of a set (table 7, figure 9a).

    Attributes:
        images: Number of images.
        masks: Number of masks.
        above_ritm: IoU of SAM (ViT-H) less RITM's, in points, after one centre click.
    """

    images: int
    masks: int
    above_ritm: float


@dataclass(frozen=True, kw_only=True)
class PublishedSet:
    """A dataset.

    Attributes:
        title: Its name in papers.
        page: Address of its page.
        licence: Its licence, or terms of use.
        split: The split that is read.
        objects: What an object is.
        quirks: What a reader has to know of its files.
        read: Lists its photos.
        is_sampled: Whether photos are drawn up to `SAMPLED_MASKS`.
        files: What may be downloaded without registration.
        paper: SAM's figures, if it has some.
    """

    title: str
    page: str
    licence: str
    split: str
    objects: str
    quirks: str = ""
    read: Callable[[Path], Entries]
    is_sampled: bool = False
    files: tuple[Download, ...] = ()
    paper: PaperCounts | None = None

    def open(self, path: Path, selection: Selection) -> EntrySamples:
        """Opens the dataset.

        Args:
            path: Its folder.
            selection: The photos and objects to score.

        Raises:
            ValueError: It is no such dataset, or has no photo with masks.
            OSError: It is not there or cannot be read.
        """
        return open_entries(
            self.title,
            self.read(path),
            selection,
            SAMPLED_MASKS if self.is_sampled else None,
        )

    def describe(self, samples: EntrySamples) -> Mapping[str, Any]:
        """Returns the choices of the set for the protocol of a result.

        Args:
            samples: The dataset as it was opened.
        """
        return {
            "split": self.split,
            "objects": self.objects,
            "sampled_to_masks": SAMPLED_MASKS if self.is_sampled else None,
            "photos": len(samples),
            "photos_sha256": samples.fingerprint,
            "paper": None if self.paper is None else self.paper._asdict(),
        }
