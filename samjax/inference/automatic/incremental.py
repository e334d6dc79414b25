"""Incremental automatic mask generation.

Yields after every chunk of points, so that a server can interleave other work, show
progress, or stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from samjax.data.schema import Annotation
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import grid_without_crops, propose_in_crop
from samjax.inference.automatic.records import Proposal, to_annotations
from samjax.inference.automatic.suppression import select_masks
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.predictor import Predictor


class Step(NamedTuple):
    """Progress of automatic mask generation.

    Attributes:
        done: points that were decoded.
        total: points of the image.
        records: the masks, with the last step; None before.
    """

    done: int
    total: int
    records: list[Annotation] | None


def generate_in_steps(
    predictor: Predictor,
    embedding: ImageEmbedding,
    config: AutomaticConfig,
    *,
    may_run_ahead: Callable[[], bool] = lambda: True,
) -> Iterator[Step]:
    """Segments everything in an embedded image as `generate_masks` does, in steps.

    Args:
        predictor: the model.
        embedding: of the image.
        config: options, without layers of crops.
        may_run_ahead: is called once a step. Where it returns True, the device computes
            the next chunk of points while the caller holds the step, and the chunk's
            masks stay in memory until the iterator is advanced or dropped.

    Yields:
        The progress after every chunk of points; the last step has the records.

    Raises:
        ValueError: there are layers of crops, or the embedding is of other weights.
        ImportError: small regions are to be cleaned up, and OpenCV is missing.
    """
    grid = grid_without_crops(config)
    size, total = embedding.frame.original_size, len(grid)
    proposals: list[Proposal] = []
    done = 0
    chunks = propose_in_crop(
        predictor, embedding, grid, config, may_run_ahead=may_run_ahead
    )
    for in_chunk in chunks:
        proposals += in_chunk
        done = min(done + config.batch_size(total), total)
        if done < total:
            yield Step(done, total, None)
    proposals = select_masks([proposals], size, config)
    yield Step(total, total, to_annotations(proposals, size, config.output_mode))
