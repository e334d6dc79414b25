"""Sources of prompts: the heat map's peaks, a uniform grid, a detector's boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from samjax.engine.proposer.head import FINER, PromptHead, heat_map
from samjax.geometry.frame import Frame
from samjax.geometry.grids import point_grid
from samjax.inference.detectors import BoxDetector
from samjax.inference.detectors.detector import check_detections
from samjax.inference.embedding import ImageEmbedding

APART = 4.0
"""Deviation of the dip around a chosen place, in cells of the heat map: two tokens."""


class Suggested(NamedTuple):
    """Prompts of an image, points or boxes, in pixels of the image.

    Attributes:
        points: (x, y), or None.
        boxes: XYXY, or None.
        scores: Score of each, from 0 to 1.
    """

    points: Float[np.ndarray, "n 2"] | None
    boxes: Float[np.ndarray, "n 4"] | None
    scores: Float[np.ndarray, " n"]


@runtime_checkable
class PromptSource(Protocol):
    """Suggests prompts for an image."""

    def suggest(
        self,
        image: UInt8[np.ndarray, "h w 3"] | None,
        embedding: ImageEmbedding,
        count: int,
    ) -> Suggested:
        """Returns prompts, the best first.

        Args:
            image: RGB; None where the caller has the embedding alone.
            embedding: The embedding of the image.
            count: Most prompts.
        """
        ...


@dataclass(frozen=True, eq=False)
class HeatPrompts:
    """The highest places of the heat map, apart from each other.

    Attributes:
        head: The head.
        params: Its parameters.
    """

    head: PromptHead
    params: Mapping[str, Any]

    def suggest(
        self,
        image: UInt8[np.ndarray, "h w 3"] | None,
        embedding: ImageEmbedding,
        count: int,
    ) -> Suggested:
        """Returns these places in pixels of the image; always `count` points."""
        del image
        heat = np.asarray(heat_map(self.params, embedding.features, head=self.head))
        return peaks(heat, embedding.frame, count)


@dataclass(frozen=True)
class GridPrompts:
    """A uniform grid, the baseline: about as many points along each side."""

    def suggest(
        self,
        image: UInt8[np.ndarray, "h w 3"] | None,
        embedding: ImageEmbedding,
        count: int,
    ) -> Suggested:
        """Returns the points of the largest square grid, in pixels of the image."""
        del image
        height, width = embedding.frame.original_size
        points = point_grid(math.isqrt(count)) * np.array([width, height])
        return Suggested(points, None, np.full(len(points), 0.5))


@dataclass(frozen=True, eq=False)
class DetectorPrompts:
    """Boxes of a detector, the paper's way.

    Attributes:
        detector: The detector, of the user's.
        texts: Phrases to detect, where it takes texts.
    """

    detector: BoxDetector
    texts: Sequence[str] = ("object",)

    def suggest(
        self,
        image: UInt8[np.ndarray, "h w 3"] | None,
        embedding: ImageEmbedding,
        count: int,
    ) -> Suggested:
        """Returns the boxes of the highest scores, in pixels of the image.

        Raises:
            ValueError: There is no image, or the detector returns no boxes.
        """
        if image is None:
            raise ValueError("got no image, expected its pixels: a detector reads them")
        found = check_detections(
            self.detector.detect(image, self.texts),
            (image.shape[0], image.shape[1]),
            len(self.texts),
        )
        best = np.argsort(-found.scores, kind="stable")[:count]
        return Suggested(None, found.boxes[best], found.scores[best])


def peaks(heat: Float[np.ndarray, "h w"], frame: Frame, count: int) -> Suggested:
    """Returns the highest places of a heat map, apart from each other, in pixels.

    Each point lowers the map around it, so that the next ones are of other objects: the
    cells around the centre of a large object are all high, and prompts side by side give
    the same mask. Photos have clusters of maxima without it, and 49 of them found fewer
    objects than a uniform grid (`docs/engine.md`).

    Args:
        heat: The heat map, of the padded model frame.
        frame: Frame of the image.
        count: Number of points; always as many, so that one program is compiled.
    """
    cells = heat.shape[0]
    stride = frame.model_size / cells
    height, width = (math.ceil(side / stride) for side in frame.resized_size)
    inside = heat[:height, :width].astype(np.float64)
    rows, columns = np.mgrid[:height, :width]
    left = inside.copy()
    chosen = np.zeros((min(count, inside.size), 2), int)
    for place in chosen:
        place[:] = row, column = np.unravel_index(np.argmax(left), left.shape)
        square = (rows - row) ** 2 + (columns - column) ** 2
        left = np.minimum(left, inside * (1 - np.exp(-square / (2 * APART**2))))
        # Nothing is chosen twice, where the map is zero either.
        left[row, column] = -1.0
    points = (chosen[:, ::-1] + 0.5) * stride / np.array(frame.scale)
    limit = np.array(frame.original_size[::-1]) - 0.5
    scores = inside[chosen[:, 0], chosen[:, 1]].astype(np.float32)
    return Suggested(np.minimum(points, limit), None, scores)


def cells_of(embedding: ImageEmbedding) -> int:
    """Returns the side of the heat map of an embedding."""
    return FINER * embedding.features.shape[0]
