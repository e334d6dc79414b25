"""Object proposals of an image: everything mode as in SAM's section 7.3.

A grid of points, three masks each, NMS of their boxes, and the best-ranked of the rest. No
mask is filtered by predicted IoU or stability unless the options say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from samjax.evaluation.detections import Detection, rle_of_counts
from samjax.evaluation.policies.grid import Grid
from samjax.evaluation.policies.policy import Response, Round, Session
from samjax.evaluation.segmenter import PromptKind, Proposer
from samjax.geometry.grids import point_grid
from samjax.geometry.masks import mask_to_counts
from samjax.geometry.run_lengths import box_of_runs
from samjax.inference.automatic.records import Proposal
from samjax.inference.automatic.suppression import box_nms
from samjax.inference.masks import Masks

Ranking = Literal["mean", "predicted-iou", "stability", "random"]
Output = Literal["multimask", "single"]


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Masks of a grid of points, thinned out and ranked.

    Attributes:
        points_per_side: Points along each side of the grid.
        output: Three masks of each point, or the single one.
        nms: IoU of boxes above which the mask of the lower predicted IoU is dropped.
        pred_iou: Lower bound of the predicted IoU, exclusive; 0 for none.
        stability: Lower bound of the stability score, inclusive; 0 for none.
        offset: Shift of the mask threshold for the stability score.
        ranking: Score of a proposal: predicted IoU, stability score, the mean of both,
            or a random number. Models without logits have no stability score and are
            ranked by predicted IoU in place of the mean.
        most: Most proposals of an image.
        seed: Seed of the random ranking.
    """

    points_per_side: int = 64
    output: Output = "multimask"
    nms: float = 0.9
    pred_iou: float = 0.0
    stability: float = 0.0
    offset: float = 1.0
    ranking: Ranking = "mean"
    most: int = 1000
    seed: int = 0

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Points."""
        return frozenset(("points",))

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields one round, with the proposals as its detections."""
        size = session.sample.image.shape[:2]
        proposals = [part for part in self._proposals(session) if part.area]
        predicted = np.array([part.predicted_iou for part in proposals])
        stability = np.array([part.stability for part in proposals])
        kept = box_nms(
            np.array([part.box for part in proposals], float).reshape(-1, 4),
            predicted,
            self.nms,
        )
        scores = self._scores(predicted[kept], stability[kept], session)
        best = np.argsort(-scores, kind="stable")[: self.most]
        detections = [
            Detection(
                rle_of_counts(proposals[kept[index]].counts, (size[0], size[1])),
                float(scores[index]),
            )
            for index in best
        ]
        yield Round("proposals", [], is_scored=False, detections=detections)

    def _scores(
        self,
        predicted: Float[np.ndarray, " n"],
        stability: Float[np.ndarray, " n"],
        session: Session,
    ) -> Float[np.ndarray, " n"]:
        if self.ranking == "random":
            # By the image, so that its ranking does not depend on the others.
            key = [self.seed, *session.sample.name.encode()]
            return np.random.default_rng(key).random(len(predicted))
        if self.ranking == "predicted-iou" or np.isnan(stability).any():
            return predicted
        return stability if self.ranking == "stability" else (predicted + stability) / 2

    def _proposals(self, session: Session) -> Iterator[Proposal]:
        segmenter = session.segmenter
        if isinstance(segmenter, Proposer) and self.output == "multimask":
            yield from segmenter.propose(
                session.embedding,
                point_grid(self.points_per_side),
                pred_iou=self.pred_iou,
                stability=self.stability,
                offset=self.offset,
            )
            return
        grid = Grid(points_per_side=self.points_per_side)
        for round in grid.rounds(session):
            for response in round.responses:
                yield from self._of_response(response)

    def _of_response(self, response: Response) -> Iterator[Proposal]:
        """Yields the masks of a point that pass the thresholds."""
        candidates = response.prediction.multimask
        if self.output == "single":
            candidates = response.prediction.single
        scores = candidates.scores
        if isinstance(candidates, Masks):
            logits = candidates.full_logits()
            masks = logits > 0
            stability = _stability(logits, self.offset)
        else:
            masks = candidates.masks
            stability = np.full(len(masks), np.nan)
        size = masks.shape[1:]
        point = response.prompt.points[0]
        for index, mask in enumerate(masks):
            predicted = 0.0 if scores is None else float(scores[index])
            if self.pred_iou > 0 and not predicted > self.pred_iou:
                continue
            if self.stability > 0 and stability[index] < self.stability:
                continue
            counts = mask_to_counts(mask)
            yield Proposal(
                counts=counts,
                box=box_of_runs(counts, size[0]),
                point=(float(point[0]), float(point[1])),
                predicted_iou=predicted,
                stability=float(stability[index]),
                crop_box=(0, 0, size[1], size[0]),
            )


def _stability(
    logits: Float[np.ndarray, "m h w"], offset: float
) -> Float[np.ndarray, " m"]:
    """Returns the IoU of each mask at a threshold raised and lowered by the offset."""
    inner, outer = (_areas(logits > shift) for shift in (offset, -offset))
    return inner / np.maximum(outer, 1)


def _areas(masks: Bool[np.ndarray, "m h w"]) -> Float[np.ndarray, " m"]:
    return masks.sum(axis=(1, 2)).astype(float)
