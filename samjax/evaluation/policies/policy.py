"""Prompt policies: the protocol between a suite, a segmenter and the metrics.

A policy prompts a segmenter for one image in rounds, and yields the masks of every round
as `Response`s. Metrics read these one round at a time, so that the masks of full size of
one round at most are held.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.detections import Detection
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.segmenter import MaskSet, Prediction, PromptKind, Segmenter
from samjax.geometry.masks import mask_iou
from samjax.prompts import Prompt

PROMPTS_PER_CALL = 16
"""Objects that are prompted together: one call of samjax's decoder, and a bound on the
masks of full size that are held."""


@dataclass(frozen=True, eq=False)
class Response:
    """The masks that a segmenter predicts for one prompt of a policy.

    Attributes:
        index: Index of the prompted object in `Sample.targets`; None for prompts of no
            particular object, such as those of a grid.
        prompt: The prompt.
        prediction: The masks.
        multimask: Whether the best-ranked mask of the multimask output is scored; if
            not, the single mask.
        target: The object without ignored pixels; None without an object.
        ignored: Pixels that no score counts.
    """

    index: int | None
    prompt: Prompt
    prediction: Prediction
    multimask: bool
    target: Bool[np.ndarray, "h w"] | None = None
    ignored: Bool[np.ndarray, "h w"] | None = None

    @property
    def candidates(self) -> MaskSet:
        """The masks of which the scored one is the best-ranked."""
        return self.prediction.multimask if self.multimask else self.prediction.single

    @functools.cached_property
    def rank(self) -> int:
        """Index of the candidate with the highest predicted IoU; 0 without any."""
        scores = self.candidates.scores
        return 0 if scores is None else int(np.argmax(scores))

    @functools.cached_property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """The scored mask, without ignored pixels."""
        return self._counted(self.candidates.masks[self.rank])

    @property
    def logits(self) -> np.ndarray | None:
        """Low-res logits (l, l) of the scored mask, if the segmenter has them."""
        logits = self.candidates.logits
        return None if logits is None else logits[self.rank]

    @property
    def predicted_iou(self) -> float | None:
        """Predicted IoU of the scored mask, if the segmenter predicts it."""
        scores = self.candidates.scores
        return None if scores is None else float(scores[self.rank])

    @functools.cached_property
    def iou(self) -> float:
        """True IoU of the scored mask."""
        return float(self._ious(self.mask[None])[0])

    @functools.cached_property
    def oracle_iou(self) -> float:
        """Highest true IoU of the masks of the multimask output."""
        return float(self._ious(self._counted(self.prediction.multimask.masks)).max())

    def _counted(self, masks: np.ndarray) -> np.ndarray:
        return masks if self.ignored is None else masks & ~self.ignored

    def _ious(self, masks: np.ndarray) -> np.ndarray:
        if self.target is None:
            raise ValueError(
                "got a response to a prompt of no object, which has no IoU"
            )
        return mask_iou(masks, self.target[None])[:, 0]


class Round(NamedTuple):
    """The responses of one round of prompts.

    Attributes:
        name: Name of the round's scores, such as `click_3` or `box`.
        responses: One response per object of the round.
        clicks: Number of clicks on each object so far; 0 for other kinds of prompts.
        is_scored: Whether IoUs are recorded; not after clicks that are only counted.
        has_oracle: Whether the best mask by true IoU is recorded too.
        edges: An edge map of the image, strengths from 0 to 1; None in suites of masks.
        vectors: A vector per object of the image; None in suites of masks.
        detections: The masks found in the image, ranked by score; None in suites that
            score no detections.
    """

    name: str
    responses: Sequence[Response]
    clicks: int = 0
    is_scored: bool = True
    has_oracle: bool = True
    edges: Float[np.ndarray, "h w"] | None = None
    vectors: Float[np.ndarray, "k c"] | None = None
    detections: Sequence[Detection] | None = None


class Session:
    """A segmenter on one image, which is embedded at the first prompt.

    Args:
        segmenter: The model.
        sample: The image.
    """

    def __init__(self, segmenter: Segmenter | EdgeDetector, sample: Sample):
        self.segmenter, self.sample = segmenter, sample

    @functools.cached_property
    def embedding(self) -> Any:
        """The embedding of the image, computed once for all policies."""
        return self._promptable().embed(self.sample.image)

    def takes(self, kind: PromptKind) -> bool:
        """Returns whether the segmenter takes a kind of prompt."""
        return kind in self.segmenter.prompt_kinds

    def targets(self) -> Bool[np.ndarray, "k h w"]:
        """Returns the objects without ignored pixels."""
        targets, ignored = self.sample.targets, self.sample.ignored
        return targets if ignored is None else targets & ~ignored

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> Any:
        """Embeds another image than the sample's, such as a crop of it."""
        return self._promptable().embed(image)

    def predict(self, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Predicts the masks of prompts on the image."""
        return self._promptable().predict(self.embedding, prompts)

    def _promptable(self) -> Segmenter:
        if isinstance(self.segmenter, Segmenter):
            return self.segmenter
        raise ValueError(
            f"got {type(self.segmenter).__name__}, expected a segmenter that takes prompts"
        )


@runtime_checkable
class PromptPolicy(Protocol):
    """A rule by which a segmenter is prompted for an image; a frozen dataclass."""

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Kinds of prompts that it needs; for segmenters without them it is left out."""
        ...

    def rounds(self, session: Session) -> Iterator[Round]:
        """Prompts for the objects of an image and yields the masks, round by round."""
        ...
