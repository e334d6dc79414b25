"""The protocol of metrics: records of every image, and scores from these alone.

A metric sees the masks of a round once, writes plain numbers into the records of the image
and its objects, and computes scores from the records of a whole dataset. Records go into
the result file, so that scores can be computed again without the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Real

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.policies.policy import Round
from samjax.evaluation.segmenter import PromptKind


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageRecords:
    """The records of one image, which metrics fill in.

    Attributes:
        name: Name of the image.
        objects: One record per object.
        values: Numbers of the image as a whole.
    """

    name: str
    objects: Sequence[dict[str, Any]]
    values: dict[str, Any] = field(default_factory=dict)


class Summary(NamedTuple):
    """The scores of a metric on one dataset.

    Attributes:
        per_object: For each score that is a mean over objects, the values of the objects,
            NaN for those that it is not over.
        scores: Scores that are no such means.
        details: Further tables, by their names in the result.
    """

    per_object: Mapping[str, Real[np.ndarray, " n"]] = {}
    scores: Mapping[str, float] = {}
    details: Mapping[str, Any] = {}


class Chart(NamedTuple):
    """A chart of the report.

    Attributes:
        heading: Its heading.
        note: A note beside it.
        across: Label of the horizontal axis.
        values: For a histogram, numbers from 0 to 1, one per object or image.
        counted: Singular and plural of what they are numbers of.
        up: For a chart of a line, the label of the vertical axis.
        points: Its points (x, y), from 0 to 1.
        reference: Points of a line to compare with.
    """

    heading: str
    note: str
    across: str
    values: Sequence[float] | None = None
    counted: tuple[str, str] = ("object", "objects")
    up: str = ""
    points: Sequence[tuple[float, float]] = ()
    reference: Sequence[tuple[float, float]] = ()


class Case(NamedTuple):
    """An object or an image, with the score by which it is ranked.

    Attributes:
        score: The score.
        image: Name of the image.
        index: Index of the object in the image; None for the image as a whole.
        name: Name of the score.
    """

    score: float
    image: str
    index: int | None
    name: str


class Metric:
    """A metric; subclasses are frozen dataclasses and override what they need."""

    @property
    def needs(self) -> frozenset[PromptKind]:
        """Kinds of prompts without which the metric is undefined."""
        return frozenset()

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Writes the measurements of a round of responses into the records.

        Args:
            round: The responses.
            sample: The image with its ground truth.
            records: The records of the image, empty of this metric in the first round.
        """

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes the scores of a dataset from its records."""
        return Summary()

    def pooled(self, images: Sequence[ImageRecords]) -> Mapping[str, Any]:
        """Computes tables over the images of all datasets together."""
        return {}

    def charts(self, images: Sequence[ImageRecords]) -> Sequence[Chart]:
        """Returns charts of a dataset for the report, from its records."""
        return ()

    def cases(self, images: Sequence[ImageRecords]) -> Sequence[Case]:
        """Returns all objects or images with a score, for the best and worst of them."""
        return ()

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns lines below the table of scores, from a dataset's details."""
        return []

    def pooled_notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns lines below the table of scores, from the pooled details."""
        return []


def objects_of(images: Sequence[ImageRecords]) -> Iterator[dict[str, Any]]:
    """Iterates over the records of all objects."""
    for image in images:
        yield from image.objects


def image_indices(images: Sequence[ImageRecords]) -> Int[np.ndarray, " n"]:
    """Returns for every object the index of its image, in the order of image names."""
    names = [image.name for image in images for _ in image.objects]
    return np.unique(names, return_inverse=True)[1]
