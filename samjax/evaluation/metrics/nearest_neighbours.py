"""Nearest neighbours of mask embeddings: how often they are of the same category.

The probe of the latent space in SAM, appendix D.6, with a figure in place of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    image_indices,
    objects_of,
)
from samjax.evaluation.policies.policy import Round

_ROWS = 1024
"""Objects whose similarities to all others are held at once."""


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(Metric):
    """The agreement of categories of neighbours, beside that of objects at random.

    Attributes:
        count: Number of neighbours.
        across_images: Whether neighbours are of other images only.
    """

    count: int = 5
    across_images: bool = False

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the vectors of an image, which the result does not have."""
        if round.vectors is not None:
            records.values["vectors"] = round.vectors.tolist()

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Finds the neighbours of every object."""
        images = [image for image in images if "vectors" in image.values]
        records = list(objects_of(images))
        vectors = np.array(
            [vector for image in images for vector in image.values["vectors"]]
        )
        categories = np.array([str(record.get("category", "")) for record in records])
        index = image_indices(images)
        neighbours, cosines = find_neighbours(
            vectors, index, self.count, across_images=self.across_images
        )
        chance = _chance(categories, index if self.across_images else None)
        has_some = (neighbours >= 0).any(axis=1)
        agrees = (categories[neighbours] == categories[:, None]) & (neighbours >= 0)
        shares = agrees.sum(axis=1) / np.maximum((neighbours >= 0).sum(axis=1), 1)
        return Summary(
            scores={
                "agreement": float(shares[has_some].mean()) if has_some.any() else 0.0,
                "at_random": float(chance[has_some].mean()) if has_some.any() else 0.0,
            },
            details={
                "neighbours": [
                    {
                        "object": _name(record),
                        "category": record.get("category", ""),
                        "neighbours": [
                            {**_name(records[other]), "cosine": round(float(cosine), 6)}
                            for other, cosine in zip(own, of_own, strict=True)
                            if other >= 0
                        ],
                    }
                    for record, own, of_own in zip(
                        records, neighbours, cosines, strict=True
                    )
                ]
            },
        )

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns a line on the categories that are compared."""
        kinds = {entry["category"] for entry in details.get("neighbours", [])}
        return [f"{self.count} neighbours of each object; {len(kinds)} categories"]


def find_neighbours(
    vectors: Float[np.ndarray, "n c"],
    images: Int[np.ndarray, " n"],
    count: int,
    *,
    across_images: bool = False,
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Returns the objects of the highest cosine to each, the nearest first.

    Args:
        vectors: Vectors of length 1.
        images: Index of each object's image.
        count: Number of neighbours.
        across_images: Whether neighbours are of other images only.

    Returns:
        Indices of the neighbours, -1 where there are fewer, and their cosines.
    """
    total = len(vectors)
    found = np.full((total, count), -1)
    cosines = np.full((total, count), -np.inf)
    for start in range(0, total, _ROWS):
        rows = np.arange(start, min(start + _ROWS, total))
        similar = vectors[rows] @ vectors.T
        similar[np.arange(len(rows)), rows] = -np.inf
        if across_images:
            similar[images[rows][:, None] == images] = -np.inf
        # A stable sort: of equal cosines the first object.
        order = np.argsort(-similar, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(similar, order, axis=1)
        width = order.shape[1]
        found[rows[0] : rows[-1] + 1, :width] = np.where(np.isinf(best), -1, order)
        cosines[rows[0] : rows[-1] + 1, :width] = best
    return found, cosines


def _chance(
    categories: np.ndarray, images: Int[np.ndarray, " n"] | None
) -> Float[np.ndarray, " n"]:
    """Returns for each object the share of the others of its category."""
    chance = np.zeros(len(categories))
    for number, category in enumerate(categories):
        others: Bool[np.ndarray, " n"] = np.arange(len(categories)) != number
        if images is not None:
            others = images != images[number]
        if others.any():
            chance[number] = (categories[others] == category).mean()
    return chance


def _name(record: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("photo", "example", "annotation")
    return {key: record[key] for key in keys if key in record}
