"""The masks of a file as the detections of an image, in place of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samjax.evaluation.datasets.detection_sets import MASKS
from samjax.evaluation.detections import Detection
from samjax.evaluation.policies.policy import Round, Session
from samjax.evaluation.segmenter import PromptKind
from samjax.evaluation.segmenters.saved import SavedResults


@dataclass(frozen=True, kw_only=True)
class SavedMasks:
    """The masks of `detection_sets.MASKS`, for `SavedResults` alone."""

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """None."""
        return frozenset()

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields one round with the saved masks; none for segmenters with prompts."""
        if not isinstance(session.segmenter, SavedResults):
            return
        detections = [
            Detection(
                entry["segmentation"], float(entry["score"]), entry["category_id"]
            )
            for entry in session.sample.truth.get(MASKS, ())
        ]
        yield Round("saved", [], is_scored=False, detections=detections)
