"""A mask for every box of a detector or of the ground truth (SAM, section 7.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.datasets.detection_sets import ANNOTATIONS, BOXES
from samjax.evaluation.detections import Detection
from samjax.evaluation.policies.policy import (
    PROMPTS_PER_CALL,
    Response,
    Round,
    Session,
)
from samjax.evaluation.segmenter import PromptKind
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import encode_rle
from samjax.prompts import Prompt

Choice = Literal["best", "single"]


class _Box(NamedTuple):
    """A box to segment.

    Attributes:
        corners: Left, top, right, bottom in pixels of the image.
        score: The detector's; 1 for ground truth.
        category: Id of the category.
        index: The object in `Sample.targets` that it is of; None for a detector's.
    """

    corners: Float[np.ndarray, " 4"]
    score: float
    category: int
    index: int | None = None


@dataclass(frozen=True, kw_only=True)
class BoxedMasks:
    """Prompts with boxes, and refines the masks by rounds of box and mask together.

    The boxes are those of `detection_sets.BOXES` where a set has a detector's, and those
    of the objects otherwise. A detection keeps the score and the category of its box.

    Attributes:
        refine: Rounds in which the same box is prompted with together with the logits
            of the last mask.
        first: The mask of the box alone: the best-ranked of three, or the single one.
        refined: The mask of a later round, likewise.
    """

    refine: int = 1
    first: Choice = "best"
    refined: Choice = "single"

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Boxes."""
        return frozenset(("box",))

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields the masks of the boxes, and at the end all as detections."""
        boxes = _boxes_of(session.sample)
        detections = []
        for start in range(0, len(boxes), PROMPTS_PER_CALL):
            part = boxes[start : start + PROMPTS_PER_CALL]
            responses = self._predict(session, part, [None] * len(part), self.first)
            for _ in range(self.refine if session.takes("mask") else 0):
                logits = [response.logits for response in responses]
                responses = self._predict(session, part, logits, self.refined)
            detections += [
                Detection(encode_rle(response.mask), box.score, box.category)
                for box, response in zip(part, responses, strict=True)
            ]
            yield Round("box", responses, has_oracle=False)
        yield Round("box", [], is_scored=False, detections=detections)

    def _predict(
        self,
        session: Session,
        boxes: Sequence[_Box],
        logits: Sequence[np.ndarray | None],
        choice: Choice,
    ) -> list[Response]:
        targets = session.sample.targets
        prompts = [
            Prompt(box=box.corners, mask=mask)
            for box, mask in zip(boxes, logits, strict=True)
        ]
        return [
            Response(
                box.index,
                prompt,
                prediction,
                choice == "best",
                None if box.index is None else targets[box.index],
            )
            for box, prompt, prediction in zip(
                boxes, prompts, session.predict(prompts), strict=True
            )
        ]


def _boxes_of(sample: Sample) -> list[_Box]:
    """Returns the detector's boxes of an image, or those of its objects."""
    if BOXES in sample.truth:
        return [
            _Box(_corners(entry["bbox"]), float(entry["score"]), entry["category_id"])
            for entry in sample.truth[BOXES]
        ]
    entries: Sequence[Mapping[str, Any]] = [
        entry for entry in sample.truth.get(ANNOTATIONS, ()) if not entry["crowd"]
    ] or [{}] * len(sample.targets)
    # Of outermost pixels, whose far sides are a pixel further as in COCO's files.
    tight = boxes_from_masks(sample.targets) + np.array([0, 0, 1, 1])
    return [
        _Box(
            _corners(entry["bbox"])
            if entry.get("bbox")
            else tight[index].astype(float),
            1.0,
            entry.get("category_id", 0),
            index,
        )
        for index, entry in enumerate(entries)
    ]


def _corners(box: Sequence[float | int]) -> Float[np.ndarray, " 4"]:
    """Returns left, top, right, bottom of COCO's left, top, width, height."""
    left, top, width, height = box
    return np.array([left, top, left + width, top + height], float)
