"""Probe of the latent space (SAM, appendix D.6): nearest neighbours of mask embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.metrics.nearest_neighbours import NearestNeighbours
from samjax.evaluation.policies.mask_embeddings import MaskEmbeddings
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions

NAME = "probe"

EMBEDDERS = ("samjax", "reference", "transformers")
"""Segmenters with image embeddings."""


@dataclass(frozen=True, kw_only=True)
class Probe(SuiteOptions):
    """Options of the suite."""

    neighbours: int = 5
    """Number of neighbours of an object."""

    across_images: bool = False
    """Neighbours are of other images only."""

    margin: float = 2.0
    """Side of the crop that is embedded over the longer side of the mask's box."""

    min_area: int = 400
    """Least number of pixels of an object."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    objects: int | None = None
    """Most objects of a photo, drawn at random (default: all)."""

    seed: int = 0
    """Seed of drawn objects."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data, a model with image embeddings, and the numbers.

        Raises:
            OptionError: It is not so.
        """
        if not data:
            raise OptionError("--suite probe: name sets of photos with --data")
        if segmenter not in EMBEDDERS:
            raise OptionError(
                f"--segmenter {segmenter}: --suite probe expects a model with image "
                f"embeddings, one of {', '.join(EMBEDDERS)}"
            )
        for name in ("neighbours", "min_area", "images", "objects"):
            value = getattr(self, name)
            if value is not None and value < 1:
                words = name.replace("_", "-")
                raise OptionError(f"--{words} {value}: expected at least 1")
        if not self.margin >= 1:
            raise OptionError(f"--margin {self.margin}: expected at least 1")

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and returns the suite."""
        selection = Selection(
            min_area=self.min_area,
            images=self.images,
            objects=self.objects,
            seed=self.seed,
        )
        return Suite(
            name=NAME,
            datasets=tuple(open_dataset(path, selection) for path in data),
            policies=(MaskEmbeddings(margin=self.margin),),
            metrics=(
                NearestNeighbours(
                    count=self.neighbours, across_images=self.across_images
                ),
            ),
            protocol={
                "neighbours": self.neighbours,
                "similarity": "cosine",
                "across_images": self.across_images,
                "margin": self.margin,
                "positions": "those that the mask covers by half",
                "min_area": self.min_area,
                "images": self.images,
                "objects_per_image": self.objects,
                "seed": self.seed,
            },
            deviations=(
                "the paper does not give the size of the crop, nor the similarity",
                "the paper shows three queries in one image each, and no figure",
            ),
            heading="neighbours",
            seed=self.seed,
        )
