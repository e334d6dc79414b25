"""A regular grid of points over the whole image, as in everything mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from samjax.evaluation.policies.policy import (
    PROMPTS_PER_CALL,
    Response,
    Round,
    Session,
)
from samjax.evaluation.segmenter import PromptKind
from samjax.geometry.grids import point_grid
from samjax.inference.prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Prompts with each point of a grid by itself; no prompt is of a known object.

    Attributes:
        points_per_side: Points along each side; 16 give SAM's 768 masks for edges.
    """

    points_per_side: int = 16

    def __post_init__(self):
        if self.points_per_side < 1:
            raise ValueError(
                f"got points_per_side={self.points_per_side}, expected at least 1"
            )

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Points."""
        return frozenset(("points",))

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields the masks of the points, row by row of the grid."""
        height, width = session.sample.image.shape[:2]
        points = point_grid(self.points_per_side) * np.array([width, height])
        for start in range(0, len(points), PROMPTS_PER_CALL):
            prompts = [
                Prompt(points=point[None])
                for point in points[start : start + PROMPTS_PER_CALL]
            ]
            predictions = session.predict(prompts)
            yield Round(
                "grid",
                [
                    Response(None, *pair, True, ignored=session.sample.ignored)
                    for pair in zip(prompts, predictions, strict=True)
                ],
                is_scored=False,
            )
