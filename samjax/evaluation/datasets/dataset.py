"""The datasets that suites run on: images with the objects to segment, by index.

A `Dataset` is small and immutable; images and masks are decoded sample by sample. Parts
that cannot be used are `Skipped` with a reason, never an exception, so that a report can
count them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, UInt8
from numpy import ndarray


class Skipped(NamedTuple):
    """A part of a dataset that is left out.

    Attributes:
        name: The image, or the annotation and its image.
        reason: A few words that are the same for all parts left out for it.
        detail: The error.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """An image and the objects to segment in it.

    Attributes:
        name: Name of the image, unique in its dataset.
        image: RGB.
        targets: Ground-truth masks. Each has a pixel that is not ignored.
        objects: For each target the fields that its record in the result begins with,
            such as the id of the annotation, category and area.
        ignored: Pixels of unknown truth, which no score counts; None for none.
        truth: Further ground truth for the policies and metrics of special suites, such
            as edge maps, boxes of a detector, phrases or attributes of people.
        skipped: Annotations of this image that are left out.
    """

    name: str
    image: UInt8[ndarray, "h w 3"]
    targets: Bool[ndarray, "k h w"]
    objects: Sequence[Mapping[str, Any]]
    ignored: Bool[ndarray, "h w"] | None = None
    truth: Mapping[str, Any] = field(default_factory=dict)
    skipped: Sequence[Skipped] = ()


@runtime_checkable
class Dataset(Protocol):
    """A sequence of samples."""

    @property
    def name(self) -> str:
        """Name of the dataset in tables and results."""
        ...

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Parts that were left out when the dataset was opened."""
        ...

    @property
    def small(self) -> int:
        """Number of annotated objects that are below a least area, where that is known."""
        ...

    def __len__(self) -> int:
        """Returns the number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        """Decodes a sample, `0 <= index < len(self)`; damaged ones are `Skipped`."""
        ...
