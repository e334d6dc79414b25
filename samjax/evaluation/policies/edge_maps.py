"""Edge maps: those of an edge detector, or from the masks of a grid of points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.policies.edge_nms import EdgeNms, suppress
from samjax.evaluation.policies.grid import Grid
from samjax.evaluation.policies.mask_edges import Boundary, edges_of_masks
from samjax.evaluation.policies.policy import Round, Session
from samjax.evaluation.segmenter import MaskSet, PromptKind
from samjax.geometry.boxes import boxes_from_masks
from samjax.inference.automatic.suppression import box_nms
from samjax.inference.masks import Masks


@dataclass(frozen=True, kw_only=True)
class EdgeMaps:
    """One edge map of the whole image, as SAM's appendix D.2 makes it.

    An `EdgeDetector` gives the map itself. A promptable model is prompted with a grid of
    points; the three masks of each are thinned out by NMS of their boxes, without a
    threshold of predicted IoU or stability, and their probabilities make the map.

    Attributes:
        points_per_side: Points along each side of the grid.
        nms: IoU of boxes above which the lower-ranked mask is dropped.
        boundary: The pixels of a mask at which its edges count.
        edge_nms: How pixels beside ridges of the map are suppressed.
    """

    points_per_side: int = 16
    nms: float = 0.7
    boundary: Boundary = "outer"
    edge_nms: EdgeNms = "hessian"

    def __post_init__(self):
        if not 0 <= self.nms <= 1:
            raise ValueError(f"got nms={self.nms}, expected an IoU from 0 to 1")

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """None that detectors lack; promptable models take points."""
        return frozenset()

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields one round, with the edge map and no masks."""
        segmenter = session.segmenter
        if isinstance(segmenter, EdgeDetector):
            edges = segmenter.detect_edges(session.sample.image, session.sample.name)
        else:
            edges = self._from_masks(session)
        edges = suppress(edges, self.edge_nms)
        yield Round("edges", (), is_scored=False, edges=edges)

    def _from_masks(self, session: Session) -> Float[np.ndarray, "h w"]:
        if not session.takes("points"):
            raise ValueError(
                f"got a model that takes {sorted(session.segmenter.prompt_kinds)} alone, "
                "expected an edge detector or one that takes points"
            )
        grid = Grid(points_per_side=self.points_per_side)
        sets: list[MaskSet] = []
        boxes, scores, owners = [], [], []
        for round in grid.rounds(session):
            for response in round.responses:
                masks = response.candidates.masks
                filled = np.flatnonzero(masks.any(axis=(1, 2)))
                boxes.append(boxes_from_masks(masks[filled]))
                ranks = response.candidates.scores
                scores.append(np.zeros(len(filled)) if ranks is None else ranks[filled])
                owners += [(len(sets), index) for index in filled.tolist()]
                sets.append(_without_masks(response.candidates))
        kept = box_nms(np.concatenate(boxes), np.concatenate(scores), self.nms)
        probabilities = (_probabilities(sets, *owners[index]) for index in kept)
        size = session.sample.image.shape[:2]
        return edges_of_masks(probabilities, (size[0], size[1]), self.boundary)


def _without_masks(masks: MaskSet) -> MaskSet:
    """Returns masks without those of full size, of which 768 are much memory."""
    return masks.select(slice(None)) if isinstance(masks, Masks) else masks


def _probabilities(
    sets: list[MaskSet], owner: int, index: int
) -> Float[np.ndarray, "h w"]:
    """Returns the probabilities of a mask; 0 and 1 for models without logits."""
    masks = sets[owner]
    if not isinstance(masks, Masks):
        return masks.masks[index].astype(np.float32)
    logits = masks.select(slice(index, index + 1)).full_logits()[0]
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50).astype(np.float32)))
