"""Everything in an image, step by step, for who has other work in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from samjax.data.schema import Annotation
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import (
    Proposal,
    finish,
    propose_in_crop,
    suppress,
    to_annotation,
)
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import ImageSource
from samjax.inference.predictor import Predictor


class Step(NamedTuple):
    """How far everything mode is: points done, of how many, and at last the records."""

    done: int
    total: int
    records: list[Annotation] | None


@dataclasses.dataclass(frozen=True, eq=False)
class _OfOneImage(Predictor):
    """Embeds nothing anew: the image is known."""

    embedding: ImageEmbedding

    def embed(self, image: ImageSource) -> ImageEmbedding:
        return self.embedding


def generate_in_steps(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    embedding: ImageEmbedding,
    config: AutomaticConfig,
) -> Iterator[Step]:
    """Segments everything in an image as `generate_masks` does, chunk by chunk.

    For callers who have other work in between, or want to stop.

    Args:
        predictor: the model.
        image: the image.
        embedding: what the predictor's `embed` returned for it.
        config: options, without layers of crops.

    Yields:
        How far it is, after every chunk; the last step has the records.

    Raises:
        ValueError: there are layers of crops.
        ImportError: small regions are to be cleaned up, and OpenCV is missing.
    """
    if config.crop_n_layers:
        raise ValueError(f"got {config.crop_n_layers=}, expected 0: use generate_masks")
    size = (image.shape[0], image.shape[1])
    (grid,) = config.grids()
    chunk = config.batch_size(len(grid))
    known = _OfOneImage(predictor.model, predictor.params, embedding)
    box = (0, 0, size[1], size[0])
    found: list[Proposal] = []
    for first in range(0, len(grid), chunk):
        part = grid[first : first + chunk]
        found += propose_in_crop(known, image, box, part, config, chunk)
        if first + chunk < len(grid):
            yield Step(first + chunk, len(grid), None)
    scores = [proposal.predicted_iou for proposal in found]
    proposals = suppress(found, scores, config.box_nms_thresh)
    proposals = finish(proposals, size, config)
    records = [
        to_annotation(number, proposal, size, config.output_mode)
        for number, proposal in enumerate(proposals)
    ]
    yield Step(len(grid), len(grid), records)
