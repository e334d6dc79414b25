"""Texts answered by a detector's boxes, which a promptable model makes masks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from samjax.evaluation.segmenter import (
    FixedMasks,
    Prediction,
    PromptKind,
    Segmenter,
)
from samjax.inference.detectors import BoxDetector
from samjax.inference.segment_text import Boxes, find_boxes
from samjax.prompts import Prompt

CANDIDATES = 3
"""Instances that stand for the three masks of a promptable model."""


class DetectedImage(NamedTuple):
    """An image with its embedding.

    Attributes:
        pixels: RGB.
        embedding: The promptable model's.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    embedding: Any


@dataclass(frozen=True, eq=False)
class DetectorSegmenter:
    """A detector and a promptable model as a `Segmenter` that takes texts.

    For a text alone, the multimask output has the masks of the boxes with the highest
    scores, at most three, ranked by these, and the single mask is the union of all
    instances (`samjax.inference.segment_text`). Where no box reaches the threshold, both
    are empty and have a score of 0. With clicks beside it, a text has the mask of the best
    box that the foreground clicks are in, refined by them; without such a box the clicks
    count alone.

    Attributes:
        segmenter: The promptable model.
        detector: Finds boxes of texts.
        about: What identifies the detector in a result file.
        threshold: Boxes of a lower score are dropped.
        nms: Of two boxes of one text with a higher IoU than this, the one of the lower
            score is dropped.
    """

    segmenter: Segmenter
    detector: BoxDetector
    about: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = 0.2
    nms: float = 0.7

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """The kinds of the promptable model, and texts."""
        texts: frozenset[PromptKind] = frozenset(("text",))
        return self.segmenter.prompt_kinds | texts

    def describe(self) -> Mapping[str, Any]:
        """Returns the fields of the promptable model and of the detector."""
        return {
            **self.segmenter.describe(),
            "detector": {
                **self.about,
                "threshold": self.threshold,
                "nms": self.nms,
            },
        }

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> DetectedImage:
        """Embeds an image."""
        return DetectedImage(image, self.segmenter.embed(image))

    def predict(
        self, embedding: DetectedImage, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Predicts the masks of prompts, those of texts from boxes.

        Args:
            embedding: What `embed` returned.
            prompts: The prompts.
        """
        texts = list(dict.fromkeys(p.text for p in prompts if p.text is not None))
        found: Sequence[Boxes] = ()
        if texts:
            found = find_boxes(
                self.detector, embedding.pixels, texts, self.threshold, self.nms
            )
        boxes = dict(zip(texts, found, strict=True))
        # All prompts of the image in one call, each with its place in it.
        asked: list[Prompt] = []
        places: list[range] = []
        for prompt in prompts:
            own = self._prompts_of(prompt, boxes)
            places.append(range(len(asked), len(asked) + len(own)))
            asked += own
        answers = self.segmenter.predict(embedding.embedding, asked) if asked else []
        size = embedding.pixels.shape[:2]
        return [
            self._joined(prompt, [answers[i] for i in place], boxes, size)
            for prompt, place in zip(prompts, places, strict=True)
        ]

    def _prompts_of(self, prompt: Prompt, boxes: Mapping[str, Boxes]) -> list[Prompt]:
        """Returns the prompts of the model that stand for one with a text."""
        if prompt.text is None:
            return [prompt]
        found = boxes[prompt.text].boxes
        if prompt.points is None or not len(prompt.points):
            return [Prompt(box=box) for box in found]
        points, labels = np.asarray(prompt.points), np.asarray(prompt.labels)
        clicked = points[labels == 1]
        for box in found:
            if np.all((clicked >= box[:2]) & (clicked <= box[2:])):
                return [Prompt(points=points, labels=labels, box=box)]
        return [Prompt(points=points, labels=labels)]

    def _joined(
        self,
        prompt: Prompt,
        answers: Sequence[Prediction],
        boxes: Mapping[str, Boxes],
        size: tuple[int, ...],
    ) -> Prediction:
        """Returns the prediction of a prompt from those of the prompts that stand for it."""
        has_points = prompt.points is not None and len(prompt.points)
        if prompt.text is None or has_points:
            return answers[0]
        if not answers:
            nothing = FixedMasks(np.zeros((1, *size), bool), np.zeros(1))
            return Prediction(nothing, nothing)
        scores: Float[np.ndarray, " n"] = boxes[prompt.text].scores
        masks = [np.asarray(answer.single.masks)[0] for answer in answers]
        union: Bool[np.ndarray, "h w"] = np.logical_or.reduce(masks)
        return Prediction(
            FixedMasks(union[None], scores[:1]),
            FixedMasks(np.array(masks[:CANDIDATES]), scores[:CANDIDATES]),
        )
